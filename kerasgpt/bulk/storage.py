"""Files wherever they lie: on a disk, or behind an address such as gs://, by Beam's file systems."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast
from uuid import uuid4

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from kerasgpt.atomic import atomic_file
from kerasgpt.errors import KerasGPTError, UsageError

UNREADABLE = (OSError, EOFError, zlib.error, ValueError, RecursionError)
"""What reading raises: where a .gz is cut off or damaged, a scheme is unknown, or JSON is nested too deep."""


def is_address(path: str) -> bool:
    """Whether a path has a scheme, so that Beam's file systems know where it lies."""
    return "://" in path


def join(folder: str, name: str) -> str:
    """The path of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_address(folder) else os.path.join(folder, name)


def find(pattern: str) -> list[str]:
    """The files that a path or a pattern (``*``, ``?``, ``[...]``) names, in alphabetical order.

    Raises:
        KerasGPTError: there are none.
    """
    if not is_address(pattern):
        if Path(pattern).is_dir():
            raise UsageError(f"{pattern}: is a folder; name its files, such as '{join(pattern, '*.jsonl')}'")
        if Path(pattern).exists():
            return [pattern]  # even where its name has a bracket
    with _sentence_for(pattern, "read"):
        found = sorted(each.path for each in FileSystems.match([pattern])[0].metadata_list)
    if not found:
        raise KerasGPTError(f"{pattern}: no such file; check the path")
    return found


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Open a file to read its bytes; those of a ``.gz`` are unpacked.

    Raises:
        KerasGPTError: it cannot be read, or a ``.gz`` is damaged or cut off, also later in the block.
    """
    with _sentence_for(path, "read"), _raw(path) as raw:
        if path.lower().endswith(".gz"):
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast(IO[bytes], unpacked)
        else:
            yield raw


def exists(path: str) -> bool:
    """Whether there is such a file."""
    with _sentence_for(path, "read"):
        return bool(FileSystems.exists(path))


def names(folder: str) -> list[str]:
    """The names of the files in a folder, hidden ones left out; none where there is no folder."""
    listed = {path.rsplit("/", 1)[-1] for path in _matching(folder, "*")}
    return sorted(name for name in listed if not name.startswith("."))


def write(path: str, data: bytes) -> None:
    """Write a file beside its place, then rename it: whoever finds it finds all of it.

    Raises:
        KerasGPTError: it cannot be written.
    """
    if not is_address(path):
        with atomic_file(path) as temporary:
            temporary.write_bytes(data)
        return
    folder, name = path.rsplit("/", 1)
    beside = f"{folder}/.{name}.tmp-{uuid4().hex}"
    with _sentence_for(path, "write"):
        with FileSystems.create(beside, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            file.write(data)
        FileSystems.rename([beside], [path])


def sweep(folder: str) -> None:
    """Delete what writers that were killed have left beside their places; nobody may be writing."""
    for path in _matching(folder, ".*.tmp-*"):
        delete(path)


def delete(path: str) -> None:
    """Delete a file if it is there."""
    with _sentence_for(path, "delete"):
        if not is_address(path):
            Path(path).unlink(missing_ok=True)
        elif FileSystems.exists(path):
            FileSystems.delete([path])


def _matching(folder: str, pattern: str) -> list[str]:
    with _sentence_for(folder, "read"):
        if not is_address(folder):  # a folder's own name may have brackets, which are no pattern
            return [str(path) for path in Path(folder).glob(pattern) if path.is_file()]
        return [each.path for each in FileSystems.match([join(folder, pattern)])[0].metadata_list]


def _raw(path: str) -> Any:
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


@contextmanager
def _sentence_for(path: str, verb: str) -> Iterator[None]:
    try:
        yield
    except KerasGPTError:
        raise
    except UNREADABLE as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise KerasGPTError(
            f"{path}: cannot {verb} ({reason}); check the path and its permissions"
        ) from error
