"""Write beside, then rename: a reader sees the old file or folder or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kerasgpt.errors import KerasGPTError
from kerasgpt.renaming import take_place, temporary_prefix


class CannotWriteError(KerasGPTError):
    """A disk is full, or a place cannot be written.

    Args:
        path: of the file or folder that was to be written.
        reason: the operating system's words.
        remedy: what the user can do.
    """

    def __init__(
        self, path: Path, reason: str, remedy: str = "free some space or choose another place"
    ) -> None:
        super().__init__(f"{path}: cannot write ({reason}); {remedy}")
        self.path, self.reason, self.remedy = path, reason, remedy

    @classmethod
    def of(cls, error: OSError, path: Path) -> CannotWriteError:
        """Tell of an error while `path` was written, maybe that the disk of temporary files is full."""
        reason = error.strerror or str(error)
        scratch = scratch_folder()
        if error.errno in _FULL and _is_full(scratch) and not _is_full(path.absolute().parent):
            return cls(scratch, reason, "free some space there, or set TMPDIR to another folder")
        return cls(path, reason)

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew where it comes out of another process."""
        return type(self), (self.path, self.reason, self.remedy)


_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_OF_A_DISK: Final = {*_FULL, errno.EFBIG, errno.EROFS, errno.EIO}
_SOME_SPACE: Final = 2**20
_PATTERN: Final = set("[]*?\\")


def scratch_folder() -> Path:
    """Where temporary files go; if they can go nowhere, as on a full disk, where they should."""
    try:
        return Path(tempfile.gettempdir())  # which tries to write there
    except FileNotFoundError:
        return Path(os.environ.get("TMPDIR", os.sep + "tmp"))


def _is_full(folder: Path) -> bool:
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), Path("/"))
    return shutil.disk_usage(there).free < _SOME_SPACE


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
    if not _PATTERN & set(os.fspath(path)):
        yield path
        return
    places = (tempfile.gettempdir(), os.sep + "tmp", os.getcwd())
    plain = next((place for place in places if not _PATTERN & set(place)), None)
    with tempfile.TemporaryDirectory(prefix="kerasgpt-", dir=plain) as scratch:
        link = Path(scratch) / "folder"
        link.symlink_to(os.path.realpath(path), target_is_directory=True)
        yield link


def require_place(path: str | os.PathLike[str]) -> None:
    """Look whether a file may be written there, before a long work whose outcome is to be.

    Raises:
        CannotWriteError: it is a folder, or lies in none that may be written.
    """
    asked = Path(path)
    if asked.is_dir():
        raise CannotWriteError(asked, "a file is to be written, and a folder is there", "name a file")
    if is_stream(asked):
        return
    parent = next(folder for folder in Path(os.path.realpath(asked)).parents if folder.exists())
    with _told_of(asked):
        if not parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(parent, os.W_OK | os.X_OK):  # where the new file is written first
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


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
    made: list[Path] = []
    try:
        with _told_of(asked):
            made = _made_parents(target)
            handle, name = tempfile.mkstemp(prefix=temporary_prefix(target), dir=target.parent)
            os.close(handle)
            temporary = Path(name)
        with _told_of(asked, temporary):
            yield temporary
        with _told_of(asked):
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            else:
                _apply_umask(temporary, 0o666)
            _flush_to_disk(temporary)
            temporary.replace(target)
            _flush_folder_to_disk(target.parent)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        remove_empty(made)


@contextmanager
def atomic_folder(
    path: str | os.PathLike[str], may_replace: Callable[[Path], bool] = lambda folder: True
) -> Iterator[Path]:
    """Yield a new folder beside `path`; when the block succeeds it takes the place of `path`.

    An existing folder at `path` is replaced as a whole, and stays untouched if the block fails.

    Args:
        path: of the folder.
        may_replace: asked at the end of a folder that is there, which may have come while the block worked.

    Raises:
        CannotWriteError: the disk is full, the place cannot be written, or a file is there, a mount point or
            what may not be replaced.
    """
    asked = Path(path)
    if asked.exists() and not asked.is_dir():
        raise CannotWriteError(asked, "a folder is to be written, and a file is there")
    if os.path.ismount(os.path.realpath(asked)):
        raise CannotWriteError(
            asked, "no folder can take the place of a mount point", "name a folder inside of it"
        )
    target = Path(os.path.realpath(asked))
    temporary: Path | None = None
    made: list[Path] = []
    try:
        with _told_of(asked):
            made = _made_parents(target)
            temporary = Path(tempfile.mkdtemp(prefix=temporary_prefix(target), dir=target.parent))
        try:
            with _told_of(asked, temporary):
                yield temporary
        except CannotWriteError as error:
            if not error.path.is_relative_to(temporary):
                raise
            # Name what the user asked for, not our temporary.
            raise CannotWriteError(asked, error.reason) from error
        with _told_of(asked):
            _apply_umask(temporary, 0o777)
            for file in temporary.rglob("*"):
                if file.is_file():
                    _apply_umask(file, 0o666)  # some libraries write files for their user alone
                    _flush_to_disk(file)
            take_place(temporary, target, may_replace)
            _flush_folder_to_disk(target.parent)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        remove_empty(made)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


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
        raise CannotWriteError.of(error, asked) from error


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
    # mkstemp and mkdtemp create private files; what we leave should have a user's usual permissions, and
    # in a group's folder the group's.
    umask = os.umask(0)
    os.umask(umask)
    path.chmod((stat.S_IMODE(path.stat().st_mode) & stat.S_ISGID) | (mode & ~umask))


def _made_parents(path: Path) -> list[Path]:
    """Make the folders that a path lies in; those that were not there, the innermost first."""
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, up to the first that has something in it."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # something is in it: ours, or another's
            return
