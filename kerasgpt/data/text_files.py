"""Documents from a text file, read as a stream of pieces."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from kerasgpt.data.pieces import SMALLEST_PIECE, Piece
from kerasgpt.data.reading import ErrorHandling, blocks, not_utf8
from kerasgpt.tasks.files.documents import SEPARATOR

_BLOCK_BYTES = 1 << 18
_LONGEST_WORD = 1 << 20  # characters without white space, after which a piece is cut all the same

# The last one, as the first part takes what it can; what follows the last character is not known.
_LAST_BLANK = re.compile(r".*([ \n])\S", re.DOTALL)
_HALF_SEPARATOR = re.compile(r"\r\n(?:<[a-z|>]*\r?)?\Z")
_SEPARATOR = re.compile(r"(?:\r?\n)?^<\|endoftext\|>\r?\n", re.MULTILINE)


def text_documents(path: Path, errors: ErrorHandling) -> Iterator[Piece]:
    """Read a text file: one document, or several between lines that are exactly ``<|endoftext|>``.

    A byte order mark that it begins with is no part of the text.

    Args:
        path: the file, UTF-8.
        errors: what to do about bytes that are not UTF-8.

    Raises:
        KerasGPTError: the file cannot be read, or is not UTF-8.
    """
    begins, pending = True, ""
    for block in _without_mark(_decoded_blocks(path, errors)):
        *ended, pending = _SEPARATOR.split(pending + block)
        for rest in ended:
            yield from _piece(rest, begins)
            begins = True
        cut = _safe_cut(pending)
        if cut:
            yield Piece(pending[:cut], begins)
            begins, pending = False, pending[cut:]
    for rest in SEPARATOR.split(pending):
        yield from _piece(rest, begins)
        begins = True


def _piece(text: str, begins: bool) -> Iterator[Piece]:
    if text:
        yield Piece(text, begins)


def _safe_cut(text: str) -> int:
    """Where to cut a text whose end is not known yet; 0 for nowhere.

    GPT-2's pre-tokenizer keeps all but the last space of a run together, so a text cut just before that
    last one, a blank or a line's end that no white space follows, has the same tokens as the whole.
    """
    if len(text) < 2 * SMALLEST_PIECE:
        return 0
    # Not within a \r\n that the beginning of a separator may follow: both characters would belong to it.
    undecided = _HALF_SEPARATOR.search(text)
    end = undecided.start() if undecided else len(text)
    if found := _LAST_BLANK.match(text, SMALLEST_PIECE, end):
        return found.start(1)
    return end if len(text) > _LONGEST_WORD else 0


def _decoded_blocks(path: Path, errors: ErrorHandling) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    offset = 0  # of the first byte the decoder has not yet turned into text
    for block in _ended(blocks(path, _BLOCK_BYTES)):
        undecoded = len(decoder.getstate()[0])
        try:
            yield decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise not_utf8(path, offset - undecoded + error.start) from error
        offset += len(block)


def _without_mark(blocks: Iterator[str]) -> Iterator[str]:
    is_first = True
    for block in blocks:
        yield block.removeprefix("\ufeff") if is_first else block
        is_first = is_first and not block


def _ended(stream: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks of a stream, then an empty one."""
    yield from stream
    yield b""
