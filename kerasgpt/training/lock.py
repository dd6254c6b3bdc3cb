"""One run, one writer: a lock on the run's folder, and what a killed writer left is put right under it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kerasgpt import artifacts
from kerasgpt.atomic import remove_empty
from kerasgpt.errors import KerasGPTError
from kerasgpt.folder_lock import held

_OURS: Final = (  # what is written beside and then renamed, by its name in the run
    *(getattr(artifacts, name) for name in dir(artifacts) if name.startswith("RUN_")),
    artifacts.RUN_CHECKPOINTS + "/step-*",
)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the folder of a run, made if need be; what was made and stays empty is taken away again.

    Raises:
        KerasGPTError: another process holds it, or the folder cannot be made.
    """

    def refuse() -> None:
        raise KerasGPTError(
            f"{run}: another process trains in this folder; wait for it, or choose another --out"
        )

    missing = [folder for folder in (run, *run.parents) if not folder.exists()]
    with held(run, refuse):
        try:
            put_right(run)
            yield
        finally:  # as the holder: another's folder may be empty too
            remove_empty(missing)


def put_right(run: Path) -> None:
    """Finish or undo what `kerasgpt.atomic` was doing when a process was killed in the midst of it.

    A temporary neighbour is deleted; an old folder that had stepped aside comes back when the new one
    never took its place. What a run does not write is not touched.
    """
    for name in _OURS:
        parent, _, own = name.rpartition("/")
        for left in (run / parent).glob(f".{own}.tmp-*"):
            target = left.with_name(left.name.removeprefix(".").rpartition(".tmp-")[0])
            if (left / "old").exists() and not target.exists():
                (left / "old").replace(target)
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
