"""A fastText model (``.bin``) as word vectors: each word's own vector and its n-grams', averaged.

After Bojanowski et al. 2017, arXiv:1607.04606, section 3.2, in the layout that fastText writes.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from kerasgpt.errors import KerasGPTError

MAGIC = 793712314
NEWEST_VERSION = 12
SUPERVISED = 3  # of the three ways to train a model; its version 11 had no n-grams whatever it says
END_OF_SENTENCE = "</s>"
_ARGUMENTS = struct.Struct("<12id")
_COUNTS = struct.Struct("<3iq")


@dataclass(frozen=True)
class _Head:
    """What the beginning of a file says: widths, n-grams of minn to maxn characters in so many buckets."""

    width: int
    num_buckets: int
    shortest: int
    longest: int
    num_entries: int
    num_words: int
    has_magic: bool


def is_fasttext_model(beginning: bytes) -> bool:
    """Whether a file's first bytes are a fastText model's, of which the oldest have no magic number."""
    if len(beginning) < 4 + 4 + _ARGUMENTS.size:
        return False
    (magic,) = struct.unpack_from("<i", beginning)
    if magic == MAGIC:
        return True
    width, *_, loss, model, buckets, shortest, longest, _, _ = _ARGUMENTS.unpack_from(beginning)
    return (
        0 < width < 2**16
        and loss in (1, 2, 3, 4)
        and model in (1, 2, SUPERVISED)
        and buckets >= 0
        and 0 <= shortest <= longest < 100
    )


def read_fasttext_model(
    path: Path, wanted: Collection[str] | None
) -> tuple[int, Iterator[tuple[str, NDArray[np.float32] | None]]]:
    """Open a model: its width, and its words with their vectors, None for a word that is not wanted.

    Raises:
        KerasGPTError: the file is cut off, quantised or of a newer version, or a word is not UTF-8.
    """
    file = path.open("rb")
    try:
        head = _head(path, file)
        words = _dictionary(path, file, head, wanted)
        rows = _matrix(path, file, head)
    finally:
        file.close()
    return head.width, _vectors(path, head, words, rows)


def _unpack(path: Path, file: BinaryIO, layout: struct.Struct) -> tuple[float, ...]:
    place, content = file.tell(), file.read(layout.size)
    if len(content) < layout.size:
        raise KerasGPTError(
            f"{path}: this fastText model is cut off at byte {place + len(content)}; bring it whole"
        )
    return layout.unpack(content)


def _head(path: Path, file: BinaryIO) -> _Head:
    first, version = struct.unpack("<2i", file.read(8))
    if first == MAGIC and version > NEWEST_VERSION:
        raise KerasGPTError(
            f"{path}: is of fastText's version {version}, known are those to {NEWEST_VERSION}: give its .vec"
        )
    if first != MAGIC:
        file.seek(0)
    arguments = [int(value) for value in _unpack(path, file, _ARGUMENTS)]
    size, num_words, _, _ = (int(value) for value in _unpack(path, file, _COUNTS))
    if first == MAGIC and int(_unpack(path, file, struct.Struct("<q"))[0]) >= 0:
        raise KerasGPTError(f"{path}: is a pruned fastText model: give its vectors as text (.vec)")
    width, model, buckets, shortest, longest = (arguments[index] for index in (0, 7, 8, 9, 10))
    if width < 1 or buckets < 0 or not 0 <= num_words <= size:
        raise KerasGPTError(
            f"{path}: its head says {num_words} words among {size}, of width {width}, and {buckets} buckets;"
            " bring another copy"
        )
    if model == SUPERVISED and version == 11:
        longest = 0
    return _Head(width, buckets, shortest, longest, size, num_words, first == MAGIC)


def _dictionary(path: Path, file: BinaryIO, head: _Head, wanted: Collection[str] | None) -> list[str | None]:
    """The words, None for those that are not wanted; labels, which follow them, are passed over."""
    words: list[str | None] = []
    for index in range(head.num_entries):
        place, raw = file.tell(), bytearray()
        while (byte := file.read(1)) != b"\0":
            if not byte:
                raise KerasGPTError(
                    f"{path}: this fastText model is cut off at byte {file.tell()}, in word {index + 1} of"
                    f" {head.num_entries}; bring it whole"
                )
            raw += byte
        _unpack(path, file, struct.Struct("<qb"))
        if index >= head.num_words:
            continue
        try:
            word = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise KerasGPTError(
                f"{path}: word {index + 1} at byte {place} is {bytes(raw)!r}, which is not UTF-8:"
                " train the model on text in UTF-8"
            ) from error
        words.append(word if wanted is None or word in wanted else None)
    return words


def _matrix(path: Path, file: BinaryIO, head: _Head) -> NDArray[np.float32]:
    """The vectors of words and of buckets, left on the disk until they are looked at."""
    if head.has_magic and _unpack(path, file, struct.Struct("<?"))[0]:
        raise KerasGPTError(f"{path}: is a quantised fastText model: give what it was made from, or its .vec")
    num_rows, width = (int(value) for value in _unpack(path, file, struct.Struct("<2q")))
    place, there = file.tell(), path.stat().st_size
    if width != head.width or num_rows < head.num_words:
        raise KerasGPTError(
            f"{path}: its head says {head.num_words} words of width {head.width}, and its matrix is"
            f" {num_rows} x {width}; bring another copy"
        )
    if there - place < 4 * num_rows * width:
        raise KerasGPTError(
            f"{path}: this fastText model is cut off at byte {there}, in a matrix of {num_rows} x {width}"
            f" that begins at byte {place}; bring it whole"
        )
    return np.memmap(path, "<f4", "r", place, (num_rows, width))


def _vectors(
    path: Path, head: _Head, words: list[str | None], rows: NDArray[np.float32]
) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
    for index, word in enumerate(words):
        if word is None:
            yield "", None
            continue
        has_ngrams = word != END_OF_SENTENCE or not head.has_magic  # the oldest took it apart as any word
        buckets = [_hash(gram) for gram in _ngrams(word, head)] if has_ngrams else []
        found = [index, *(head.num_words + bucket % head.num_buckets for bucket in buckets)]
        if max(found) >= len(rows):
            raise KerasGPTError(
                f"{path}: has no row {max(found)}, of an n-gram of '{word}'; bring another copy"
            )
        vector = np.asarray(rows[found], np.float32).mean(axis=0)
        if not np.isfinite(vector).all():
            raise KerasGPTError(
                f"{path}: the vector of '{word}' has a number that is not finite; bring another"
            )
        yield word, vector


def _ngrams(word: str, head: _Head) -> Iterator[bytes]:
    """Pieces of ``<word>`` of so many characters; its two ends alone are none."""
    if not head.num_buckets:
        return
    marked = f"<{word}>"
    for start in range(len(marked)):
        for end in range(start + max(head.shortest, 1), min(start + head.longest, len(marked)) + 1):
            if end - start > 1 or 0 < start < len(marked) - 1:
                yield marked[start:end].encode("utf-8")


def _hash(gram: bytes) -> int:
    """FNV-1a in 32 bits, each byte with its sign carried on, as fastText's C++ has it."""
    value = 2166136261
    for byte in gram:
        value = (value ^ (byte | 0xFFFFFF00 if byte & 0x80 else byte)) * 16777619 & 0xFFFFFFFF
    return value
