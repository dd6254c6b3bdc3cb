"""Files of word vectors: word2vec's text and binary form, GloVe's, and fastText's two."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.fasttext_model import is_fasttext_model, read_fasttext_model
from kerasgpt.errors import KerasGPTError

Vector: TypeAlias = NDArray[np.float32]

LONGEST_WORD = 4096  # bytes; what goes on for longer is no word
_HEADER = re.compile(rb"\s*(\d+)\s+(\d+)\s*")
# Bytes that no text has, and the float32 numbers of a binary file soon do.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class WordVectors:
    """The vectors of those words that were asked for.

    Attributes:
        vectors: word -> float32 (width,).
        width: of every vector in the file.
        num_words: in the file.
    """

    vectors: dict[str, Vector]
    width: int
    num_words: int


def read_word_vectors(path: str | os.PathLike[str], wanted: Collection[str] | None = None) -> WordVectors:
    """Read the vectors of some words; the file is read as a stream and only these are kept.

    Args:
        path: of a file in any of these forms, which its first bytes tell apart: text with a line for each
            word, with word2vec's and fastText's header ``count width`` or without it as GloVe has it;
            word2vec's binary form; a fastText model, whose words are made of their n-grams too.
        wanted: the words to keep; None means all.

    Raises:
        KerasGPTError: the file cannot be read or is none of these; it is cut off; its header names another
            number of words than there are; a vector has another width or a number that is none; a word is
            not UTF-8.
    """
    source = Path(path)
    keep = None if wanted is None else frozenset(wanted)
    try:
        with source.open("rb") as file:
            beginning = file.read(LONGEST_WORD)
            if is_fasttext_model(beginning):
                width, words = read_fasttext_model(source, keep)
            else:
                begins = len(BOM_UTF8) if beginning.startswith(BOM_UTF8) else 0
                beginning = beginning[begins:]
                file.seek(begins)
                width, words = _read_lines_or_binary(source, file, beginning)
            vectors: dict[str, Vector] = {}
            count = 0
            for count, (word, vector) in enumerate(words, 1):  # noqa: B007 - the count is used below
                if vector is not None and (keep is None or word in keep):
                    vectors.setdefault(word, vector)
    except OSError as error:
        raise KerasGPTError(
            f"{source}: cannot read ({error.strerror}); give a file of word vectors"
        ) from error
    return WordVectors(vectors, width, count)


def _read_lines_or_binary(
    source: Path, file: BinaryIO, beginning: bytes
) -> tuple[int, Iterator[tuple[str, Vector | None]]]:
    first = beginning.partition(b"\n")[0]
    header = _HEADER.fullmatch(first)
    is_binary = _CONTROL.search(beginning) is not None
    if header is None:
        if is_binary or not first.strip():
            raise KerasGPTError(
                f"{source}: begins neither with words nor as word2vec and fastText write their models;"
                " give a file of word vectors"
            )
        return (width := len(first.split()) - 1), _text(source, file, width, None)
    count, width = int(header[1]), int(header[2])
    if not width:
        raise KerasGPTError(
            f"{source}: line 1 says that vectors have a width of 0; give a file of word vectors"
        )
    file.readline()
    return width, (_binary if is_binary else _text)(source, file, width, count)


def _text(source: Path, file: BinaryIO, width: int, count: int | None) -> Iterator[tuple[str, Vector]]:
    """Words from lines; `count` is what a header said, which then was the first line."""
    number = 0
    for number, line in enumerate(file, 1):
        if line.strip():
            yield _line(f"{source}: line {number + (count is not None)}", line, width)
        elif count is None or number <= count:
            raise KerasGPTError(f"{source}: line {number + (count is not None)} is empty; give a whole file")
    if count is not None and number != count:
        raise KerasGPTError(
            f"{source}: line 1 says {count} words and {number} follow; it was cut off or its header is wrong:"
            " put their number there"
        )


def _line(place: str, line: bytes, width: int) -> tuple[str, Vector]:
    """A word, which may hold spaces, and its numbers."""
    fields = line.split()
    extra = fields[1:-width]
    if len(fields) <= width or any(_is_number(field) for field in extra):
        raise KerasGPTError(
            f"{place} has {len(fields) - 1} numbers and those before it {width}: make all of one width"
        )
    try:
        vector = np.array(fields[-width:], np.float32)
    except ValueError:
        wrong = next(field for field in fields[-width:] if not _is_number(field))
        raise KerasGPTError(f"{place} has '{_shown(wrong)}' where a number should be; mend it") from None
    return _word(place, b" ".join(fields[:-width])), _finite(place, vector)


def _binary(source: Path, file: BinaryIO, width: int, count: int) -> Iterator[tuple[str, Vector]]:
    """Words with a space after each, and then as many float32 numbers in the order of bytes of a PC."""
    if 4 * width > (there := source.stat().st_size):
        raise KerasGPTError(
            f"{source}: line 1 says that vectors have a width of {width}, more than its {there} bytes hold:"
            " bring the whole file"
        )
    for number in range(1, count + 1):
        place = f"{source}: word {number} of {count}, at byte {file.tell()},"
        word = bytearray()
        while (byte := file.read(1)) != b" ":
            if not byte or len(word) == LONGEST_WORD:
                raise KerasGPTError(
                    f"{place} is {'cut off' if not byte else 'longer than a word can be'}:"
                    " bring the whole file, in word2vec's binary form"
                )
            word += byte
        numbers = file.read(4 * width)
        if len(numbers) < 4 * width:
            raise KerasGPTError(
                f"{place} has {len(numbers)} bytes of its vector's {4 * width}: bring the whole file"
            )
        vector = np.frombuffer(numbers, "<f4").astype(np.float32)
        yield _word(place, bytes(word).lstrip(b"\n")), _finite(place, vector)
    if rest := len(file.read(2).strip()):
        raise KerasGPTError(
            f"{source}: line 1 says {count} words, and at byte {file.tell() - rest} more follow: put their"
            " number there"
        )


def _word(place: str, word: bytes) -> str:
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KerasGPTError(
            f"{place} holds the word {word!r}, not UTF-8 at its byte {error.start}: write the file in UTF-8"
        ) from error


def _finite(place: str, vector: Vector) -> Vector:
    if not np.isfinite(vector).all():
        raise KerasGPTError(f"{place} has a number that is not finite; leave that word out")
    return vector


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _shown(field: bytes) -> str:
    return field[:40].decode("utf-8", "replace")
