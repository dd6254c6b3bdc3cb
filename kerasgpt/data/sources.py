"""Documents from files of any form that is known, read as a stream of pieces."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from kerasgpt.data.json_lines import json_documents
from kerasgpt.data.parquet import MAGIC as PARQUET_MAGIC
from kerasgpt.data.parquet import parquet_documents
from kerasgpt.data.pieces import AnyPiece, Piece
from kerasgpt.data.reading import ErrorHandling, blocks, cannot_read, no_text, refuse_other_forms
from kerasgpt.data.text_files import text_documents
from kerasgpt.data.token_files import LLMC_MAGIC, SUFFIX, open_token_file, token_documents
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.tokenizer.bpe import Tokenizer

_HEAD_BYTES = 1024  # enough to know every form by
_ESCAPED = re.compile(r"\[([*?\[])\]")  # as `glob.escape` writes them


def documents(
    paths: Sequence[str | os.PathLike[str]],
    errors: ErrorHandling = "strict",
    tokenizer: Tokenizer | None = None,
) -> Iterator[AnyPiece]:
    r"""Read documents as a stream, in the order of the files.

    A ``.jsonl`` file holds one document a line, ``{"text": ...}``; a parquet file one a row, in its column
    ``text``; nanoGPT's ``train.bin`` and llm.c's shards hold ids, which ``<|endoftext|>`` divides. Any
    other file is one document, or several if it has lines that are exactly ``<|endoftext|>``. Names may end
    in upper case.

    Args:
        paths: the files, or patterns such as ``"fineweb/*.bin"``; text is UTF-8.
        errors: what to do about bytes that are not UTF-8: ``"strict"`` stops, ``"replace"`` reads U+FFFD.
        tokenizer: the one that made files of ids; None refuses such files.

    Yields:
        The pieces of the documents; an empty document has none.

    Raises:
        KerasGPTError: a file is missing, unreadable, empty, damaged, compressed, not UTF-8, or has a
            line without a text.
        UsageError: no such error handling, or no file at all.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
    ...     _ = file.write("One.\n<|endoftext|>\nTwo.")
    ...     file.flush()
    ...     [piece.text for piece in documents([file.name])]
    ['One.', 'Two.']
    """
    if errors not in ("strict", "replace"):
        raise unknown_name("error handling", errors, ["strict", "replace"])
    if not paths:
        raise UsageError("no data: name at least one file of text, JSON lines, parquet or ids")
    for is_llmc, files in groupby(_with_heads(paths), lambda file: file[1].startswith(LLMC_MAGIC)):
        if is_llmc:  # one text, whatever shards it was cut into
            yield from token_documents((open_token_file(*file) for file in files), tokenizer)
            continue
        for path, head in files:
            if path.suffix.lower() == SUFFIX:
                yield from token_documents([open_token_file(path, head)], tokenizer)
            else:
                yield from _refuse_empty(path, _texts_of(path, head, errors))


def read_documents(
    paths: Sequence[str | os.PathLike[str]], errors: ErrorHandling = "strict"
) -> Iterator[str]:
    """The texts of the pieces alone, as a learner of vocabularies wants them; see `documents`."""
    return (piece.text for piece in documents(paths, errors) if isinstance(piece, Piece))


def expand(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files that paths and patterns name, those of a pattern in the order of their names.

    Raises:
        KerasGPTError: a pattern matches nothing.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.exists() or not glob.has_magic(str(path)):
            files.append(path)
            continue
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            name = _ESCAPED.sub(r"\1", str(path))
            is_file = glob.escape(name) == str(path)  # of a folder with brackets in its name
            what = "there is no such file" if is_file else "no file matches this pattern"
            raise KerasGPTError(f"{name}: {what}; check it")
        files += map(Path, matches)
    return files


def fingerprint(paths: Sequence[str | os.PathLike[str]]) -> str:
    """Hash the content of files, one after the other: changes when any byte of any of them does."""
    total = hashlib.sha256()
    for path in map(Path, paths):
        try:
            with path.open("rb") as file:
                total.update(path.suffix.lower().encode() + hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise cannot_read(path, error) from error
    return total.hexdigest()


def _with_heads(paths: Sequence[str | os.PathLike[str]]) -> Iterator[tuple[Path, bytes]]:
    """Each file with its first bytes, read when it is its turn."""
    for path in expand(paths):
        yield path, next(blocks(path, _HEAD_BYTES), b"")


def _texts_of(path: Path, head: bytes, errors: ErrorHandling) -> Iterator[Piece]:
    """Read a file by its form: known by its first bytes where these tell, else by the end of its name."""
    refuse_other_forms(path, head)  # files of ids may begin with any two bytes
    suffix = path.suffix.lower()
    if head.startswith(PARQUET_MAGIC) or suffix == ".parquet":
        yield from parquet_documents(path, errors)
    elif suffix in (".jsonl", ".ndjson"):
        yield from json_documents(path, errors)
    else:
        yield from text_documents(path, errors)


def _refuse_empty(path: Path, pieces: Iterator[Piece]) -> Iterator[Piece]:
    is_empty = True
    for piece in pieces:
        is_empty = False
        yield piece
    if is_empty:
        raise no_text(path)
