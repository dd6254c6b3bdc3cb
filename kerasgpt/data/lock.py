"""One process at a time in a folder, and none locked out by one that was killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kerasgpt.atomic import CannotWriteError

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and hold it against other processes; wait while another holds it.

    The lock is the operating system's, on the folder itself: it ends with the process, however that ends.
    Windows has none of the kind, and there nothing is locked.

    Raises:
        CannotWriteError: the folder cannot be made.
    """
    handle: int | None = None
    try:
        handle = _held(folder)
    except OSError as error:
        raise CannotWriteError(folder, error.strerror or str(error)) from error
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _held(folder: Path) -> int | None:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":
            return None
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder}: another process is at work here; waiting for it", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_still(folder, handle):
            return handle
        os.close(handle)  # who held it before has deleted it


def _is_still(folder: Path, handle: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
