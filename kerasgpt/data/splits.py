"""Which part of the data trains, which chooses, which judges: by tail or by document."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from kerasgpt.data.pieces import AnyPiece
from kerasgpt.errors import UsageError, unknown_name

Part: TypeAlias = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
METHODS = ("tail", "document")

TaggedPieces: TypeAlias = Iterator[tuple[Part, AnyPiece]]


@dataclass(frozen=True)
class Split:
    """How to divide the data into [train | validation | test].

    Args:
        validation_fraction: of the data, to choose the best checkpoint on.
        test_fraction: of the data, looked at once, after training.
        method: ``"tail"``: the last bytes of all texts joined are the test, those before them the
            validation; ``"document"``: each document goes where its hash says, equal ones to one place.
    """

    validation_fraction: float = 0.1
    test_fraction: float = 0.0
    method: str = "tail"

    def __post_init__(self) -> None:
        for name in ("validation_fraction", "test_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: a fraction of the data is in [0, 1)")
        if self.validation_fraction + self.test_fraction >= 1:
            raise UsageError(
                f"validation_fraction {self.validation_fraction} and test_fraction {self.test_fraction}"
                " leave nothing to train on: make them smaller"
            )
        if self.method not in METHODS:
            raise unknown_name("split", self.method, METHODS)

    def divide(self, read: Callable[[], Iterable[AnyPiece]], total_bytes: int | None = None) -> TaggedPieces:
        """Say of each piece which part it belongs to; every byte belongs to exactly one.

        Args:
            read: starts reading the pieces anew.
            total_bytes: of all pieces; None lets a split by tail read them twice, first to measure.

        >>> from kerasgpt.data.pieces import Piece
        >>> pieces = [Piece("To be, or not to be", True)]
        >>> split = Split(validation_fraction=0.25, test_fraction=0.25)
        >>> [(part, piece.text) for part, piece in split.divide(lambda: pieces)]
        [('train', 'To be, or'), ('validation', ' not '), ('test', 'to be')]
        """
        if self.method == "document":
            return self._by_document(read())
        return self._by_tail(read(), num_bytes(read()) if total_bytes is None else total_bytes)

    def _by_tail(self, pieces: Iterable[AnyPiece], total_bytes: int) -> TaggedPieces:
        """Cut the joined text at two offsets, each moved back to the nearest end of a character or id."""
        test_start = total_bytes - round(total_bytes * self.test_fraction)
        validation_start = test_start - round(total_bytes * self.validation_fraction)
        ends = {"train": validation_start, "validation": test_start, "test": total_bytes}
        seen: set[Part] = set()
        offset = 0
        for piece in pieces:
            rest: AnyPiece | None = piece
            for part in PARTS:
                if rest is None:
                    break
                size = rest.num_bytes
                head, rest = (rest, None) if size <= ends[part] - offset else rest.divide(ends[part] - offset)
                if head is not None:
                    yield part, head if part in seen else replace(head, begins_document=True)
                    seen.add(part)
                    offset += size if rest is None else head.num_bytes

    def _by_document(self, pieces: Iterable[AnyPiece]) -> TaggedPieces:
        part: Part = "train"
        for piece in pieces:
            if piece.begins_document:
                part = self._part_of(piece.beginning)
            yield part, piece

    def _part_of(self, beginning: bytes) -> Part:
        digest = hashlib.blake2b(beginning, digest_size=8).digest()
        position = int.from_bytes(digest, "big") / 2**64  # uniform in [0, 1)
        if position < self.test_fraction:
            return "test"
        return "validation" if position < self.test_fraction + self.validation_fraction else "train"


def num_bytes(pieces: Iterable[AnyPiece]) -> int:
    """The size of texts in UTF-8."""
    return sum(piece.num_bytes for piece in pieces)


def part_of(part: Part, tagged: TaggedPieces) -> Iterator[AnyPiece]:
    """The pieces of one part alone."""
    return (piece for owner, piece in tagged if owner == part)
