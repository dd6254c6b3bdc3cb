"""Piece: a part of a document, small enough for memory, as text or as ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

SMALLEST_PIECE = 4096  # characters or ids; only the last piece of a document may be shorter

_LINE_ENDS = "\r\n"


@dataclass(frozen=True)
class Piece:
    """A part of a document as text.

    Attributes:
        text: never empty; the tokens of a document's pieces, joined, are the tokens of the document.
        begins_document: whether it is a document's first piece.

    >>> Piece("né pour régner", True).divide(2)
    (Piece(text='n', begins_document=True), Piece(text='é pour régner', begins_document=False))
    """

    text: str
    begins_document: bool

    @property
    def data(self) -> bytes:
        """What it holds, to be hashed: UTF-8."""
        return self.text.encode()

    @property
    def trimmed(self) -> bytes:
        """The data up to the line ends that it ends in, by which no document differs from another.

        A text file has one at its end that belongs to no document, and none where a separator follows.
        """
        return self.text.rstrip(_LINE_ENDS).encode()

    @property
    def num_bytes(self) -> int:
        """Its size in UTF-8."""
        return len(self.data)

    @property
    def beginning(self) -> bytes:
        """What a document's first piece is known by."""
        return self.text[:SMALLEST_PIECE].rstrip(_LINE_ENDS).encode()

    def divide(self, num_bytes: int) -> tuple[Self | None, Self | None]:
        """Cut at the last end of a character at or before a byte; None stands for nothing."""
        data = self.data
        end = max(0, min(num_bytes, len(data)))
        while 0 < end < len(data) and data[end] & 0xC0 == 0x80:  # a continuation byte is no beginning
            end -= 1
        head, tail = data[:end].decode(), data[end:].decode()
        return (
            replace(self, text=head) if head else None,
            replace(self, text=tail, begins_document=self.begins_document and not head) if tail else None,
        )


@dataclass(frozen=True, eq=False)
class EncodedPiece:
    """A part of a document that came as ids.

    Attributes:
        ids: unsigned (num_ids,), never empty, and none an end of text.
        begins_document: whether it is a document's first piece.
        sizes: int64 (V,), the bytes that each id of the vocabulary stands for.

    >>> piece = EncodedPiece(np.array([2, 0, 1], np.uint16), True, sizes=np.array([1, 3, 2]))
    >>> piece.num_bytes, [part.ids.tolist() for part in piece.divide(4)]
    (6, [[2, 0], [1]])
    """

    ids: NDArray[np.unsignedinteger[Any]]
    begins_document: bool
    sizes: NDArray[np.int64]

    @property
    def data(self) -> bytes:
        """What it holds, to be hashed."""
        return self.ids.tobytes()

    @property
    def trimmed(self) -> bytes:
        """All of the data: ids are written by programs, document for document."""
        return self.data

    @property
    def num_bytes(self) -> int:
        """The size of its text in UTF-8."""
        return int(self.sizes[self.ids].sum())

    @property
    def beginning(self) -> bytes:
        """What a document's first piece is known by."""
        return self.ids[:SMALLEST_PIECE].tobytes()

    def divide(self, num_bytes: int) -> tuple[Self | None, Self | None]:
        """Cut at the last end of an id at or before a byte; None stands for nothing."""
        ends = np.cumsum(self.sizes[self.ids])
        place = int(np.searchsorted(ends, num_bytes, side="right"))
        head, tail = self.ids[:place], self.ids[place:]
        begins = self.begins_document and not len(head)
        return (
            replace(self, ids=head) if len(head) else None,
            replace(self, ids=tail, begins_document=begins) if len(tail) else None,
        )


AnyPiece: TypeAlias = Piece | EncodedPiece
