"""One run, one writer: a lock on the run's folder, and what a killed writer left is put right under it."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the folder of a run, made if need be; a folder that stays empty is taken away again.

    The lock is the kernel's, on the folder itself: it ends with the process, however that ends.

    Raises:
        KerasGPTError: another process holds it, or the folder cannot be made.
    """
    try:
        run.mkdir(parents=True, exist_ok=True)
        handle = os.open(run, os.O_RDONLY)
    except OSError as error:
        raise KerasGPTError(
            f"{run}: cannot be the folder of a run ({error.strerror}); choose another"
        ) from error
    try:
        _lock(handle, run)
        put_right(run)
        yield
    finally:
        os.close(handle)
        if run.is_dir() and not any(run.iterdir()):
            run.rmdir()


def _lock(handle: int, run: Path) -> None:
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:
        return  # Windows has no such locks: there, two runs in one folder are not noticed
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise KerasGPTError(
            f"{run}: another process trains in this folder; wait for it, or choose another --out"
        ) from error


def put_right(run: Path) -> None:
    """Finish or undo what `kerasgpt.atomic` was doing when a process was killed in the midst of it.

    A temporary neighbour is deleted; an old folder that had stepped aside comes back when the new one
    never took its place.
    """
    for folder in (run, run / artifacts.RUN_CHECKPOINTS):
        for left in folder.glob(".*.tmp-*"):
            target = left.with_name(left.name.removeprefix(".").rpartition(".tmp-")[0])
            if (left / "old").exists() and not target.exists():
                (left / "old").replace(target)
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
