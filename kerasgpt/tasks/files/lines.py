"""Lines of text files, gzipped or not, and the fields of JSON lines, each with its number."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from kerasgpt.errors import KerasGPTError

BYTE_ORDER_MARK = "\ufeff"

JSON_LINES = (".jsonl", ".ndjson")
"""What the name of a file of JSON lines ends in."""

NOT_JSON = (ValueError, RecursionError)
"""What reading JSON raises: also where a number has thousands of digits, or lists lie in lists as deep."""


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Read a file, UTF-8, line by line without the line's end; a name that ends in .gz is unpacked.

    A byte order mark that it begins with is no part of the first line.

    Yields:
        The number, counted from 1, and the text.

    Raises:
        KerasGPTError: it cannot be read or unpacked, or is not UTF-8.
    """
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise KerasGPTError(f"{path}, line {number}: not UTF-8; convert the file first") from error
            yield number, text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text


def whole_text(path: str | Path) -> str:
    """Read a file, UTF-8, as it is but for a byte order mark; a name that ends in .gz is unpacked.

    Raises:
        KerasGPTError: it cannot be read or unpacked, or is not UTF-8.
    """
    try:
        with _opened(path) as file:
            return file.read().decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise KerasGPTError(f"{path}: not UTF-8 at byte {error.start}; convert it first") from error


def ending(path: str | Path) -> str:
    """What a file's name ends in, in small letters and without .gz.

    >>> ending("held.JSONL.gz"), ending("held")
    ('.jsonl', '')
    """
    return Path(str(path).lower().removesuffix(".gz")).suffix


@contextmanager
def _opened(path: str | Path) -> Iterator[IO[bytes]]:
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield cast(IO[bytes], file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise KerasGPTError(f"{path}: not a whole gzip file ({error}); fetch it again") from error
    except IsADirectoryError as error:
        raise KerasGPTError(f"{path}: is a folder; name its files, such as {path}/*.txt") from error
    except OSError as error:
        raise KerasGPTError(
            f"{path}: cannot read ({error.strerror or error}); check the path and its permissions"
        ) from error


def numbered_objects(path: str | Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Read JSON lines, an object each; empty lines are passed over.

    Yields:
        The place, such as ``data.jsonl, line 3``, and the object.

    Raises:
        KerasGPTError: the file cannot be read, or a line is no object.
    """
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except NOT_JSON as error:
            raise KerasGPTError(
                f"{place}: not valid JSON ({json_reason(error)}); each line is one object"
            ) from error
        if not isinstance(value, dict):
            raise KerasGPTError(f"{place}: is no object; each line is one, such as {{...}}")
        yield place, value


def json_reason(error: ValueError | RecursionError) -> str:
    """Why a text could not be read as JSON, in a few words."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deep" if isinstance(error, RecursionError) else "a number of too many digits"


def text_field(value: Mapping[str, Any], name: str, place: str, *, may_be_empty: bool = False) -> str:
    """A field of an object that must be a text; a list of texts is joined by spaces.

    Raises:
        KerasGPTError: it is missing, no text, or empty.
    """
    found = value.get(name)
    if isinstance(found, list) and all(isinstance(part, str) for part in found):
        found = " ".join(found)
    if not isinstance(found, str):
        names = ", ".join(value) or "nothing"
        raise KerasGPTError(f'{place}: has no text "{name}", only {names}; add it, or leave the record out')
    refuse_half_pairs([found], f'"{name}"', place)
    if not found.strip() and not may_be_empty:
        raise KerasGPTError(f'{place}: its "{name}" is empty; give a text, or leave the record out')
    return found


def text_fields(value: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    """A field of an object that is a text or a list of texts, in a tuple.

    Raises:
        KerasGPTError: it is missing or something else.
    """
    found = value.get(name)
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        names = ", ".join(value) or "nothing"
        raise KerasGPTError(f'{place}: has no text "{name}", only {names}; add it, or leave the record out')
    refuse_half_pairs(texts, f'"{name}"', place)
    return tuple(texts)


def refuse_half_pairs(texts: Sequence[str], what: str, place: str) -> None:
    """Refuse what JSON can spell and UTF-8 cannot.

    Raises:
        KerasGPTError: one of the texts, which `what` names at `place`, holds half a surrogate pair.
    """
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise KerasGPTError(
            f"{place}: its {what} holds half a surrogate pair, which is no character; mend it, or leave the"
            " record out"
        ) from error
