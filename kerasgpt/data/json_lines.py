"""Documents from JSON lines, one object ``{"text": ...}`` each."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path

from kerasgpt.data.pieces import Piece
from kerasgpt.data.reading import ErrorHandling, lines, not_utf8
from kerasgpt.errors import KerasGPTError


def json_documents(path: Path, errors: ErrorHandling) -> Iterator[Piece]:
    """Read a file of JSON lines, a document each; an empty line and an empty text are none.

    Args:
        path: the file, UTF-8; a byte order mark at its beginning is no part of the first line.
        errors: what to do about bytes that are not UTF-8, and about half surrogate pairs.

    Raises:
        KerasGPTError: the file cannot be read, is not UTF-8, or has a line without a text.
    """
    offset = 0
    for number, line in enumerate(lines(path), start=1):
        if number == 1 and line.startswith(codecs.BOM_UTF8):
            offset, line = len(codecs.BOM_UTF8), line.removeprefix(codecs.BOM_UTF8)
        try:
            text = line.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise not_utf8(path, offset + error.start) from error
        offset += len(line)
        if text.strip() and (document := _text_of(text, f"{path}, line {number}", errors)):
            yield Piece(document, begins_document=True)


def _text_of(line: str, place: str, errors: ErrorHandling) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise KerasGPTError(f"{place}: not valid JSON ({_reason(error)}); each line is one object") from error
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


def _reason(error: ValueError | RecursionError) -> str:
    """What is wrong with a line; of what Python alone does not read, in words for who wrote it."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"
