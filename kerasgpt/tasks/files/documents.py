"""Document: a text to be scored, with the numbers its loss is divided by; and how files divide into them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.files.detokenizers import DETOKENIZERS
from kerasgpt.tasks.files.lines import JSON_LINES, ending, numbered_objects, text_field, whole_text

SEPARATOR = re.compile(r"(?:\r?\n)?^<\|endoftext\|>(?:\r?\n|\Z)", re.MULTILINE)
"""The line that parts the documents of a text file, in training too, with the line end before it."""


class SeparatorsScoredWarning(UserWarning):
    """Lines that part documents are scored as if they were text."""


@dataclass(frozen=True)
class Document:
    """A text to be scored.

    Attributes:
        text: not empty.
        place: where it was read.
        num_words: words of the file that it stands for, between white space, where they were taken apart.
        num_line_ends: line ends of that file.
    """

    text: str
    place: str
    num_words: int = 0
    num_line_ends: int = 0


def read_documents(path: str | Path, detokenizer: str | None, *, apart: bool) -> list[Document]:
    """Read a text file, or JSON lines with a document each, ``{"text": ...}``.

    Args:
        path: UTF-8; a name that ends in .gz is unpacked.
        detokenizer: name of the one to put words together with.
        apart: whether a text file is divided: at lines that are ``<|endoftext|>``, or where the detokenizer
            knows that a document begins.

    Raises:
        KerasGPTError: it cannot be read, is not UTF-8, empty, or has a line without a text.
    """
    found = [
        _document(text, place, detokenizer)
        for text, place in _texts(Path(path), detokenizer, apart)
        if text.strip()
    ]
    if not found:
        raise KerasGPTError(f"{path}: is empty; give a text to measure on")
    return found


def parted(text: str, place: str) -> list[Document]:
    """The documents of a text: what stands between lines that are ``<|endoftext|>``."""
    return [Document(part, place) for part in SEPARATOR.split(text) if part.strip()]


def _texts(path: Path, detokenizer: str | None, apart: bool) -> Iterator[tuple[str, str]]:
    if ending(path) in JSON_LINES:
        for place, value in numbered_objects(path):
            yield text_field(value, "text", place), place
        return
    text = whole_text(path)
    if not apart:
        if detokenizer is None and (count := len(SEPARATOR.findall(text))):
            warnings.warn(
                f"{path}: {count:,} lines are <|endoftext|>, and are scored as text; level document (--level)"
                " scores what stands between them",
                SeparatorsScoredWarning,
                stacklevel=4,
            )
        yield text, str(path)
        return
    parts = DETOKENIZERS[detokenizer].documents(text) if detokenizer else SEPARATOR.split(text)
    for number, part in enumerate(parts, start=1):
        yield part, f"{path}, document {number}"


def _document(text: str, place: str, detokenizer: str | None) -> Document:
    if detokenizer is None:
        return Document(text, place)
    whole = DETOKENIZERS[detokenizer].detokenize(text)
    return Document(whole, place, len(text.split()), text.count("\n"))
