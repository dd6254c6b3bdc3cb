"""Exact duplicates among documents, found by their hashes on disk in bounded memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.pieces import AnyPiece

DIGEST_BYTES = 16  # two of a trillion documents are equal by chance with a probability under 1e-14

_DIGESTS_AT_ONCE = 1 << 20  # held in memory, some 50 bytes each

Digest = tuple[bytes, int]
"""A document's hash, and its bytes in UTF-8."""


def document_digests(pieces: Iterable[AnyPiece]) -> Iterator[Digest]:
    """Hash each document of a stream, up to the line ends that it ends in."""
    whole, num_bytes = hashlib.blake2b(digest_size=DIGEST_BYTES), -1
    trimmed = whole  # as it was before the line ends that the document may end in
    for piece in pieces:
        if piece.begins_document:
            if num_bytes >= 0:
                yield trimmed.digest(), num_bytes
            whole, num_bytes = hashlib.blake2b(digest_size=DIGEST_BYTES), 0
            trimmed = whole.copy()
        data = piece.trimmed
        if data:
            whole.update(data)
            trimmed = whole.copy()
        whole.update(piece.data[len(data) :])
        num_bytes += piece.num_bytes
    if num_bytes >= 0:
        yield trimmed.digest(), num_bytes


def mark_duplicates(digests: Path, marks: Path) -> int:
    """Say of each document whether an equal one came before it.

    The hashes are gone through as often as they are too many for memory, each time for a share of all
    possible hashes.

    Args:
        digests: a file of `DIGEST_BYTES` for each document.
        marks: numpy file to write, bool (num_documents,).

    Returns:
        How many are duplicates.
    """
    num_documents = digests.stat().st_size // DIGEST_BYTES
    _write_unmarked(marks, num_documents)
    duplicates = np.lib.format.open_memmap(marks, "r+")
    hashes = np.memmap(digests, np.uint64, mode="r").reshape(num_documents, 2)
    num_shares = math.ceil(num_documents / _DIGESTS_AT_ONCE)
    total = 0
    for share in range(num_shares):
        numbers = _numbers_of(hashes, share, num_shares)
        repeated = numbers[_repeated(hashes[numbers])]
        duplicates[repeated] = True
        total += len(repeated)
    duplicates.flush()
    return total


def _write_unmarked(marks: Path, num_documents: int) -> None:
    """Write every False out: a full disk is an error here, and to a first write through a map the end."""
    with marks.open("wb") as file:
        head = {"descr": "|b1", "fortran_order": False, "shape": (num_documents,)}
        np.lib.format.write_array_header_1_0(file, head)
        for start in range(0, num_documents, _DIGESTS_AT_ONCE):
            file.write(bytes(min(_DIGESTS_AT_ONCE, num_documents - start)))


def _numbers_of(hashes: NDArray[np.uint64], share: int, num_shares: int) -> NDArray[np.int64]:
    """The numbers of the documents whose hash belongs to a share, in order."""
    starts = range(0, len(hashes), _DIGESTS_AT_ONCE)
    blocks = (
        hashes[start : start + _DIGESTS_AT_ONCE, 0] % np.uint64(num_shares) == share for start in starts
    )
    return np.concatenate(
        [np.flatnonzero(block) + start for start, block in zip(starts, blocks, strict=True)]
    )


def _repeated(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which rows (num, 2) are equal to an earlier one."""
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: equal ones stay in order
    ordered = hashes[order]
    repeated = np.zeros(len(hashes), np.bool_)
    repeated[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return repeated


def without_duplicates(
    pieces: Iterable[AnyPiece], duplicates: NDArray[np.bool_], first: int
) -> Iterator[AnyPiece]:
    """Leave out the documents that are marked.

    Args:
        pieces: of the documents from a number on.
        duplicates: whether each is one.
        first: that number.
    """
    number = first - 1
    for piece in pieces:
        number += piece.begins_document
        if not duplicates[number]:
            yield piece
