"""Bytes of files, and the sentences about what cannot be read."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from kerasgpt.errors import KerasGPTError

ErrorHandling: TypeAlias = Literal["strict", "replace"]
FileState: TypeAlias = tuple[int, int, int] | None

_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip -k"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\xfd7zXZ\x00": ("xz", "unxz -k"),
    b"BZh": ("bzip2", "bunzip2 -k"),
    b"PK\x03\x04": ("zip", "unzip"),
}
"""First bytes -> what a file is compressed by, and the command that unpacks it."""

_BZIP2_BLOCK = b"1AY&SY"  # stands behind its first bytes and a digit, which alone could begin a text


def blocks(path: Path, num_bytes: int, start: int = 0) -> Iterator[bytes]:
    """Read a file block by block, from a byte on.

    Raises:
        KerasGPTError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            while block := file.read(num_bytes):
                yield block
    except OSError as error:
        raise cannot_read(path, error) from error


def lines(path: Path) -> Iterator[bytes]:
    """Read a file line by line.

    Raises:
        KerasGPTError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise cannot_read(path, error) from error


def size_of(path: Path) -> int:
    """The bytes of a file.

    Raises:
        KerasGPTError: there is none.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise cannot_read(path, error) from error


def state_of(path: Path) -> FileState:
    """What of a file changes when somebody writes it; None of one that is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def cannot_read(path: Path, error: OSError) -> KerasGPTError:
    """The sentence about a file that the operating system does not give."""
    if isinstance(error, IsADirectoryError):
        return KerasGPTError(f"{path}: is a folder; name its files, such as {path}/*.txt")
    return KerasGPTError(
        f"{path}: cannot read ({error.strerror or error}); check the path and its permissions"
    )


def no_text(path: Path) -> KerasGPTError:
    """The sentence about a file without a document."""
    return KerasGPTError(f"{path}: holds no text; give a file that does")


def not_utf8(path: Path, offset: int) -> KerasGPTError:
    """The sentence about a byte that is no text."""
    return KerasGPTError(
        f"{path}: not UTF-8 at byte {offset}; convert the file, or go on with '--errors replace'"
    )


def refuse_other_forms(path: Path, head: bytes) -> None:
    """Refuse what is no text by its first bytes, with which none begins, rather than read it as noise.

    Args:
        path: the file.
        head: its first bytes.

    Raises:
        KerasGPTError: it is compressed, or UTF-16.
    """
    for mark, (name, command) in _COMPRESSED.items():
        if head.startswith(mark) and (name != "bzip2" or head[4:10] == _BZIP2_BLOCK):
            raise KerasGPTError(f"{path}: is compressed by {name}: unpack it first, by '{command} {path}'")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise KerasGPTError(f"{path}: is UTF-16: convert it to UTF-8")
