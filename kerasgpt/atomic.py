"""Write beside, then rename: a reader sees the old file or folder or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kerasgpt.errors import KerasGPTError


class CannotWriteError(KerasGPTError):
    """A disk is full, or a place cannot be written.

    Args:
        path: of the file or folder that was to be written.
        reason: the operating system's words.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: cannot write ({reason}); free some space or choose another place")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew where it comes out of another process."""
        return type(self), (self.path, self.reason)


_OF_A_DISK: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether what is written there follows what was before, as in a pipe or ``/dev/stdout``."""
    there = Path(path)
    return there.exists() and not there.is_dir() and (_names_stream(there) or not there.is_file())


def _names_stream(path: Path) -> bool:
    """Whether a path is that of an open file of a process, by its name alone.

    >>> [_names_stream(Path(name)) for name in ("/dev/stdout", "/proc/self/fd/1", "/dev/shm/run/a")]
    [True, True, False]
    """
    parts = Path(os.path.abspath(path)).parts[1:]
    return parts[:2] in (("dev", "stdout"), ("dev", "stderr"), ("dev", "fd")) or (
        parts[:1] == ("proc",) and "fd" in parts
    )


@contextmanager
def unpatterned(path: Path) -> Iterator[Path]:
    """Yield a folder by a path in which TensorFlow sees no pattern, as it does in brackets: a link to it."""
    if not set("[]*?\\") & set(os.fspath(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="kerasgpt-") as scratch:
        link = Path(scratch) / path.name
        link.symlink_to(os.path.realpath(path), target_is_directory=True)
        yield link


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; when the block succeeds it becomes `path`.

    A link stays one, and what it points to is replaced; a pipe or device is written as it is, and a file that
    is a standard stream, as ``/dev/stdout`` may be, at its end.

    Raises:
        CannotWriteError: the disk is full or the folder cannot be written; `path` is as it was before.
    """
    asked = Path(path)
    if asked.exists() and not (asked.is_file() or asked.is_dir()):
        with _told_of(asked, asked):
            yield asked
        return
    if is_stream(asked):
        with tempfile.TemporaryDirectory(prefix="kerasgpt-") as scratch:
            written = Path(scratch) / "written"
            written.touch()
            yield written
            with _told_of(asked), asked.open("ab") as stream:
                stream.write(written.read_bytes())
        return
    target = Path(os.path.realpath(asked))
    temporary: Path | None = None
    try:
        with _told_of(asked):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.tmp-", dir=target.parent)
            os.close(handle)
            temporary = Path(name)
        with _told_of(asked, temporary):
            yield temporary
        with _told_of(asked):
            _apply_umask(temporary, 0o666)
            _flush_to_disk(temporary)
            temporary.replace(target)
            _flush_folder_to_disk(target.parent)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new folder beside `path`; when the block succeeds it takes the place of `path`.

    An existing folder at `path` is replaced as a whole, and stays untouched if the block fails.

    Raises:
        CannotWriteError: the disk is full, the place cannot be written, or a file is there.
    """
    asked = Path(path)
    if asked.exists() and not asked.is_dir():
        raise CannotWriteError(asked, "a folder is to be written, and a file is there")
    target = Path(os.path.realpath(asked))
    temporary: Path | None = None
    try:
        with _told_of(asked):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
        try:
            with _told_of(asked, temporary):
                yield temporary
        except CannotWriteError as error:  # of a file inside: name what the user asked for, not our temporary
            raise CannotWriteError(asked, error.reason) from error
        with _told_of(asked):
            _apply_umask(temporary, 0o777)
            for file in temporary.rglob("*"):
                if file.is_file():
                    _flush_to_disk(file)
            _swap(temporary, target)
            _flush_folder_to_disk(target.parent)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _swap(new: Path, target: Path) -> None:
    # A folder cannot be renamed over a non-empty one: step the old one aside, and back if that fails.
    if not target.exists():
        new.replace(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent)) / "old"
    try:
        target.replace(aside)
        new.replace(target)
    except BaseException:  # an interruption too
        if not target.exists():
            aside.replace(target)
        raise
    finally:
        if target.exists():
            shutil.rmtree(aside.parent, ignore_errors=True)


@contextmanager
def _told_of(asked: Path, within: Path | None = None) -> Iterator[None]:
    """Tell errors of the operating system by what was to be written.

    Args:
        asked: which the sentence names.
        within: where the block writes, other errors of which are its own; None means that all are ours.
    """
    try:
        yield
    except OSError as error:
        place = Path(error.filename) if isinstance(error.filename, str) else None
        is_ours = within is None or (place is not None and place.is_relative_to(within))
        is_of_a_disk = error.errno in _OF_A_DISK or (
            type(error) is OSError and error.errno is None
        )  # numpy's
        if not is_ours and not is_of_a_disk:
            raise
        raise CannotWriteError(asked, error.strerror or str(error)) from error


def _flush_to_disk(path: Path) -> None:
    with path.open("r+b" if os.name == "nt" else "rb") as file:  # Windows flushes only what can be written
        os.fsync(file.fileno())


def _flush_folder_to_disk(path: Path) -> None:
    # A rename is safe from a power cut once the folder that lists it is; Windows cannot open one.
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _apply_umask(path: Path, mode: int) -> None:
    # mkstemp and mkdtemp create private files; what we leave should have a user's usual permissions.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)
