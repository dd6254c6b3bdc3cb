"""One process at a time in a folder, and none locked out by one that was killed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from kerasgpt.atomic import CannotWriteError


@contextmanager
def held(folder: Path, if_taken: Callable[[], None]) -> Iterator[None]:
    """Make a folder and hold it against other processes.

    The lock is the operating system's, on the folder itself: it ends with the process, however that ends.
    Windows has none of the kind, and there nothing is locked.

    Args:
        folder: of which the holder may delete what is in it, or all.
        if_taken: called if another process holds it; unless it raises, that one is waited for.

    Raises:
        CannotWriteError: the folder cannot be made.
    """
    try:
        handle = _locked(folder, if_taken)
    except OSError as error:
        raise CannotWriteError(folder, error.strerror or str(error)) from error
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locked(folder: Path, if_taken: Callable[[], None]) -> int | None:
    """A handle that holds the lock; None where there are no locks."""
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:
        folder.mkdir(parents=True, exist_ok=True)
        return None
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            _lock(fcntl, handle, if_taken)
            if os.path.samestat(folder.stat(), os.fstat(handle)):
                return handle
        except FileNotFoundError:
            pass  # who held it before has deleted it
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(fcntl: ModuleType, handle: int, if_taken: Callable[[], None]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if_taken()
        fcntl.flock(handle, fcntl.LOCK_EX)
