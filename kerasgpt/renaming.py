"""Put a folder in the place of another, so that whoever looks finds either."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_UNKNOWN_HERE: Final = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV}  # to kernel or file system


def temporary_prefix(target: Path) -> str:
    """How names of what is written beside a file or folder begin; a long one's is cut, so that they fit."""
    name = target.name
    while len(os.fsencode(name)) > 200:
        name = name[:-1]
    return f".{name}.tmp-"


def take_place(new: Path, target: Path, may_replace: Callable[[Path], bool]) -> None:
    """Rename a folder, over what is there if that may be replaced; `new` may hold the old one afterwards.

    Args:
        new: the folder, beside `target`.
        target: its new name.
        may_replace: asked of what is there, which may have come a moment ago.

    Raises:
        OSError: it may not be replaced, or the system refuses; `target` is as it was.
    """
    if not target.exists():
        new.replace(target)
    elif not may_replace(target):
        raise _has_appeared(target)
    elif exchanged(new, target):
        if not may_replace(new):
            exchanged(new, target)
            raise _has_appeared(target)
    else:
        _step_aside(new, target, may_replace)


def _has_appeared(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "something else has been put there meanwhile", str(target))


def exchanged(one: Path, other: Path) -> bool:
    """Let two paths change places at once; False where the system cannot, and nothing is done.

    Raises:
        OSError: one is not there.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another system's C library
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN_HERE:
        return False
    raise OSError(number, os.strerror(number), str(one))


def _step_aside(new: Path, target: Path, may_replace: Callable[[Path], bool]) -> None:
    """Where two folders cannot change places: the old one steps aside, and back if that fails."""
    aside = Path(tempfile.mkdtemp(prefix=temporary_prefix(target), dir=target.parent)) / "old"
    try:
        target.replace(aside)
        if not may_replace(aside):
            raise _has_appeared(target)
        new.replace(target)
    except BaseException:  # an interruption too
        if not target.exists():
            aside.replace(target)
        raise
    finally:
        if target.exists():
            shutil.rmtree(aside.parent, ignore_errors=True)
