"""Tagged pieces -> rows of ids, encoded side by side and given back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kerasgpt.data.pieces import AnyPiece, EncodedPiece
from kerasgpt.data.splits import Part, TaggedPieces
from kerasgpt.tokenizer.bpe import Tokenizer

_CHARACTERS_AT_ONCE = 49_000  # under what the tokenizer divides between threads of its own
_WAITING_GROUPS = 4  # for each worker: enough that none waits, and memory stays bounded

Item = TypeVar("Item")
Result = TypeVar("Result")


class Row(NamedTuple):
    """A piece as ids.

    Attributes:
        part: it belongs to.
        ids: unsigned (num_ids,), the first an end of text where a document begins.
        num_bytes: of its text.
        begins_document: whether one begins.
    """

    part: Part
    ids: NDArray[Any]
    num_bytes: int
    begins_document: bool


Group: TypeAlias = list[tuple[Part, AnyPiece]]


def encode_pieces(
    tagged: TaggedPieces, tokenizer: Tokenizer, dtype: DTypeLike, num_workers: int
) -> Iterator[Row]:
    """Encode pieces in threads: the engines of a tokenizer leave Python's lock free while they encode.

    Args:
        tagged: the pieces; pieces of ids stay as they are.
        tokenizer: encodes the others.
        dtype: of the ids.
        num_workers: threads.

    Yields:
        A row for each piece, in their order, however many threads there are.
    """

    def encode(group: Group) -> list[Row]:
        texts = [piece.text for _, piece in group if not isinstance(piece, EncodedPiece)]
        encodings = iter(tokenizer.encode_batch(texts) if texts else ())
        return [
            Row(
                part,
                _marked(
                    piece.ids if isinstance(piece, EncodedPiece) else next(encodings),
                    piece.begins_document,
                    tokenizer.end_of_text_id,
                    dtype,
                ),
                piece.num_bytes,
                piece.begins_document,
            )
            for part, piece in group
        ]

    for rows in in_order(encode, _groups(tagged), num_workers):
        yield from rows


def in_order(function: Callable[[Item], Result], items: Iterable[Item], num_workers: int) -> Iterator[Result]:
    """Apply a function to each item of a stream in threads, a bounded number of items ahead.

    >>> list(in_order(abs, [-1, 2, -3], num_workers=2))
    [1, 2, 3]
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(num_workers) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= _WAITING_GROUPS * num_workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _marked(ids: Any, begins_document: bool, end_of_text_id: int, dtype: DTypeLike) -> NDArray[Any]:
    row = np.empty(len(ids) + begins_document, dtype)
    row[: int(begins_document)] = end_of_text_id
    row[int(begins_document) :] = ids
    return row


def _groups(tagged: TaggedPieces) -> Iterator[Group]:
    """Gather pieces until they hold `_CHARACTERS_AT_ONCE`; a piece larger than that is a group of its own."""
    group: Group = []
    num_characters = 0
    for part, piece in tagged:
        group.append((part, piece))
        num_characters += len(piece.ids if isinstance(piece, EncodedPiece) else piece.text)
        if num_characters >= _CHARACTERS_AT_ONCE:
            yield group
            group, num_characters = [], 0
    if group:
        yield group
