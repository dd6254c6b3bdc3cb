"""Documents from files of token ids: nanoGPT's ``train.bin`` and the shards of llm.c."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.pieces import SMALLEST_PIECE, EncodedPiece
from kerasgpt.data.reading import blocks, no_text, size_of
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.bpe import Tokenizer

LLMC_MAGIC = np.array([20240520], "<i4").tobytes()  # how a shard of llm.c begins
SUFFIX = ".bin"

_CHARACTERS = "meta.pkl"  # nanoGPT's table of characters, beside the ids that were made with it
_LLMC_VERSION = 1  # ids of 16 bits
_HEADER_BYTES = 256 * 4
_ID_BYTES = 2
_BLOCK_BYTES = 1 << 20

Ids16 = NDArray[np.uint16]


@dataclass(frozen=True)
class TokenFile:
    """Where the ids lie in a file.

    Attributes:
        path: of the file.
        start: byte of the first id; what follows are ids of 16 bits, little end first.
    """

    path: Path
    start: int


def open_token_file(path: Path, head: bytes) -> TokenFile:
    """Look at the beginning of a file of ids.

    Args:
        path: the file.
        head: its first bytes, the first `_HEADER_BYTES` at least.

    Raises:
        KerasGPTError: it was cut off, or is of another version of llm.c.
    """
    num_bytes = size_of(path)
    if not head.startswith(LLMC_MAGIC):
        if num_bytes % _ID_BYTES:
            raise KerasGPTError(
                f"{path}: {num_bytes} bytes are no whole number of 16-bit ids; fetch or make the file again"
            )
        _refuse_characters(path)
        return TokenFile(path, 0)
    header = np.frombuffer(head[: len(head) // 4 * 4], "<i4")
    if len(header) < 3:
        raise KerasGPTError(
            f"{path}: a shard of llm.c that is cut off after {num_bytes} bytes; fetch or make it again"
        )
    if header[1] != _LLMC_VERSION:
        raise KerasGPTError(
            f"{path}: a shard of llm.c of version {header[1]}; version {_LLMC_VERSION}, ids of 16 bits, is"
            " read"
        )
    wanted = _HEADER_BYTES + _ID_BYTES * int(header[2])
    if num_bytes != wanted:
        raise KerasGPTError(
            f"{path}: {num_bytes} bytes long, and its header says {header[2]} ids, {wanted} bytes: the shard"
            " is cut off or damaged; fetch or make it again"
        )
    return TokenFile(path, _HEADER_BYTES)


def _refuse_characters(path: Path) -> None:
    """Refuse ids that nanoGPT gave to characters: they would be read as other text, without a word."""
    if (meta := path.with_name(_CHARACTERS)).exists():
        raise KerasGPTError(
            f"{path}: {meta.name} beside it says that its ids are characters in nanoGPT's own numbering: give"
            " the text, or move that file away if they are a tokenizer's"
        )


def token_documents(files: Iterable[TokenFile], tokenizer: Tokenizer | None) -> Iterator[EncodedPiece]:
    """Read documents, which ``<|endoftext|>`` divides, be it at their beginning or at their end.

    Args:
        files: of ids, read as one: llm.c cuts where a shard is full, and its document goes on in the next.
        tokenizer: the one that made them.

    Raises:
        KerasGPTError: one cannot be read, holds no text, or does not fit the tokenizer.
    """
    if tokenizer is None:
        path = next(iter(files)).path
        raise KerasGPTError(
            f"{path}: holds ids and no text to learn a vocabulary from: train with the tokenizer"
            " that made them, such as by '--set data.tokenizer=gpt2'"
        )
    sizes = np.array([len(piece) for piece in tokenizer.pieces])
    stream = chain.from_iterable(_checked(file, tokenizer) for file in files)
    for ids, begins in _runs(stream, tokenizer.end_of_text_id):
        yield EncodedPiece(ids, begins, sizes)


def _checked(file: TokenFile, tokenizer: Tokenizer) -> Iterator[Ids16]:
    """The ids of a file in blocks, all of them in the vocabulary."""
    if tokenizer.vocabulary_size > 1 << (8 * _ID_BYTES):
        raise KerasGPTError(
            f"{file.path}: ids of 16 bits cannot spell a vocabulary of {tokenizer.vocabulary_size}: give"
            " text, or the tokenizer that made the file"
        )
    position, is_empty = 0, True
    for block in blocks(file.path, _BLOCK_BYTES, file.start):
        ids = np.frombuffer(block, "<u2").astype(np.uint16, copy=False)
        beyond = np.flatnonzero(ids >= tokenizer.vocabulary_size)
        if len(beyond):
            raise KerasGPTError(
                f"{file.path}: id {ids[beyond[0]]} at position {position + beyond[0]} is not in the"
                f" vocabulary of {tokenizer.vocabulary_size}: give the tokenizer that made the file"
            )
        yield ids
        position += len(ids)
        is_empty = is_empty and bool((ids == tokenizer.end_of_text_id).all())
    if is_empty:
        raise no_text(file.path)


def _runs(stream: Iterator[Ids16], end_of_text_id: int) -> Iterator[tuple[Ids16, bool]]:
    """Divide a stream at ends of text; no block's or file's end cuts a document's first run short."""
    begins, pending = True, np.empty(0, np.uint16)
    for block in stream:
        joined, start = np.concatenate([pending, block]), 0
        for end in np.flatnonzero(joined == end_of_text_id).tolist():
            if end > start:
                yield joined[start:end], begins
            begins, start = True, end + 1
        pending = joined[start:]
        if len(pending) >= SMALLEST_PIECE:
            yield pending, begins
            begins, pending = False, pending[:0]
    if len(pending):
        yield pending, begins
