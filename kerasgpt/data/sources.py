"""Documents from text files and JSON lines, read as a stream of pieces."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from kerasgpt.errors import KerasGPTError, UsageError, unknown_name

ErrorHandling: TypeAlias = Literal["strict", "replace"]

SMALLEST_PIECE = 4096  # characters; only the last piece of a document may be shorter
_BLOCK_BYTES = 1 << 18
_LONGEST_WORD = 1 << 20  # characters without white space, after which a piece is cut all the same

# GPT-2's pre-tokenizer keeps all but the last space of a run together, so a text cut just before that
# last one has the same tokens as the whole.
_SAFE_CUT = re.compile(r"[ \n](?=\S)")
_SEPARATOR = re.compile(r"(?:\r?\n)?^<\|endoftext\|>\r?\n", re.MULTILINE)
_LAST_SEPARATOR = re.compile(r"(?:\r?\n)?^<\|endoftext\|>(?:\r?\n|\Z)", re.MULTILINE)


@dataclass(frozen=True)
class Piece:
    """A part of a document, small enough for memory.

    Attributes:
        text: never empty; the tokens of a document's pieces, joined, are the tokens of the document.
        begins_document: whether it is a document's first piece.
    """

    text: str
    begins_document: bool


def documents(paths: Sequence[str | os.PathLike[str]], errors: ErrorHandling = "strict") -> Iterator[Piece]:
    r"""Read documents as a stream, in the order of the files.

    A ``.jsonl`` file holds one document a line, ``{"text": ...}``. Any other file is one document, or
    several if it has lines that are exactly ``<|endoftext|>``, which separate them.

    Args:
        paths: the files, UTF-8.
        errors: what to do about bytes that are not UTF-8: ``"strict"`` stops, ``"replace"`` reads U+FFFD.

    Yields:
        The pieces of the documents; an empty document has none.

    Raises:
        KerasGPTError: a file is missing, unreadable, empty, not UTF-8, or has a line without a text.
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
        raise UsageError("no data: name at least one text or .jsonl file")
    for path in map(Path, paths):
        pieces = _json_documents(path, errors) if path.suffix == ".jsonl" else _text_documents(path, errors)
        yield from _refuse_empty(path, pieces)


def read_documents(
    paths: Sequence[str | os.PathLike[str]], errors: ErrorHandling = "strict"
) -> Iterator[str]:
    """The texts of the pieces alone, as a learner of vocabularies wants them; see `documents`."""
    return (piece.text for piece in documents(paths, errors))


def fingerprint(paths: Sequence[str | os.PathLike[str]]) -> str:
    """Hash the content of files, one after the other: changes when any byte of any of them does."""
    total = hashlib.sha256()
    for path in map(Path, paths):
        try:
            with path.open("rb") as file:
                total.update(path.suffix.encode() + hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise _cannot_read(path, error) from error
    return total.hexdigest()


def _refuse_empty(path: Path, pieces: Iterator[Piece]) -> Iterator[Piece]:
    is_empty = True
    for piece in pieces:
        is_empty = False
        yield piece
    if is_empty:
        raise KerasGPTError(f"{path}: holds no text; give a file that does")


def _text_documents(path: Path, errors: ErrorHandling) -> Iterator[Piece]:
    begins, pending = True, ""
    for block in _decoded_blocks(path, errors):
        *ended, pending = _SEPARATOR.split(pending + block)
        for rest in ended:
            yield from _piece(rest, begins)
            begins = True
        cut = _safe_cut(pending)
        if cut:
            yield Piece(pending[:cut], begins)
            begins, pending = False, pending[cut:]
    for rest in _LAST_SEPARATOR.split(pending):
        yield from _piece(rest, begins)
        begins = True


def _piece(text: str, begins: bool) -> Iterator[Piece]:
    if text:
        yield Piece(text, begins)


def _safe_cut(text: str) -> int:
    """Where to cut a text whose end is not known yet; 0 for nowhere."""
    if len(text) < 2 * SMALLEST_PIECE:
        return 0
    cut = 0
    for match in _SAFE_CUT.finditer(text, SMALLEST_PIECE):
        cut = match.start()
    return cut or (len(text) if len(text) > _LONGEST_WORD else 0)


def _decoded_blocks(path: Path, errors: ErrorHandling) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    offset = 0  # of the first byte the decoder has not yet turned into text
    for block in _blocks(path):
        undecoded = len(decoder.getstate()[0])
        try:
            yield decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, offset - undecoded + error.start) from error
        offset += len(block)


def _blocks(path: Path) -> Iterator[bytes]:
    """Read a file block by block; the last block is empty."""
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block
        yield b""
    except OSError as error:
        raise _cannot_read(path, error) from error


def _json_documents(path: Path, errors: ErrorHandling) -> Iterator[Piece]:
    offset = 0
    for number, line in enumerate(_lines(path), start=1):
        try:
            text = line.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, offset + error.start) from error
        offset += len(line)
        if text.strip():
            yield from _piece(_text_of(text, f"{path}, line {number}", errors), begins=True)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise _cannot_read(path, error) from error


def _text_of(line: str, place: str, errors: ErrorHandling) -> str:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise KerasGPTError(f"{place}: not valid JSON ({error.msg}); each line is one object") from error
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise KerasGPTError(f'{place}: has no "text" string; each line is an object {{"text": "..."}}')
    try:
        # JSON can spell half a surrogate pair, which is no character and has no UTF-8.
        return text.encode("utf-16", "surrogatepass").decode("utf-16", errors)
    except UnicodeDecodeError as error:
        raise KerasGPTError(
            f"{place}: its text holds half a surrogate pair, which is no character; mend it, or go on with"
            " '--errors replace'"
        ) from error


def _cannot_read(path: Path, error: OSError) -> KerasGPTError:
    return KerasGPTError(
        f"{path}: cannot read ({error.strerror or error}); check the path and its permissions"
    )


def _not_utf8(path: Path, offset: int) -> KerasGPTError:
    return KerasGPTError(
        f"{path}: not UTF-8 at byte {offset}; convert the file, or go on with '--errors replace'"
    )
