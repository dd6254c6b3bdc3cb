"""metrics.jsonl, one line an event, on disk as soon as written; and loss.png, drawn from it."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasgpt.atomic import atomic_file, write_text
from kerasgpt.errors import KerasGPTError
from kerasgpt.training.processes import together

Record = dict[str, Any]

CAN_DRAW = importlib.util.find_spec("matplotlib") is not None
"""Whether there are pictures: training itself needs none, and a machine of GPUs may have no matplotlib."""


class Journal:
    """Appends records to a JSON-lines file, and tells them to its `listeners`.

    Numbers that are not finite are left out, as JSON has none. Those of `when_dropped` are told after which
    step it forgets.

    Args:
        path: the file; made if need be. None writes nothing: of several processes one does.
        step: what an earlier sitting wrote about later steps is dropped.
    """

    def __init__(self, path: Path | None, step: int = 0) -> None:
        self.path = path
        self.listeners: list[Callable[[Record], None]] = []
        self.when_dropped: list[Callable[[int], None]] = []
        self.drop_after(step)

    def drop_after(self, step: int) -> None:
        """Forget what was written about later steps, and a line cut short."""
        if self.path is None:
            return
        kept = [record for record in read_journal(self.path) if record["step"] <= step]
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))
        for tell in self.when_dropped:
            tell(step)

    def write(self, record: Record) -> None:
        """Append one record.

        Raises:
            KerasGPTError: the disk is full.
        """
        with together():
            if self.path is not None:
                self._append(self.path, finite(record))

    def _append(self, path: Path, record: Record) -> None:
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise KerasGPTError(f"{path}: cannot write ({error.strerror}); free some space") from error
        for listen in self.listeners:
            listen(record)


def finite(values: Record) -> Record:
    """Leave out the numbers that are infinite or none.

    >>> finite({"step": 3, "loss": 2.5, "grad_norm": float("nan")})
    {'step': 3, 'loss': 2.5}
    """
    return {n: v for n, v in values.items() if not isinstance(v, float) or math.isfinite(v)}


def read_journal(path: Path) -> list[Record]:
    """Read a file of records; none if it is not there, and up to the first line that is torn."""
    records: list[Record] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
                record["step"] = int(record["step"])
            except (ValueError, KeyError, TypeError, RecursionError):
                break  # a line cut short by a crash is the last one
            records.append(record)
    return records


def draw_losses(records: list[Record], path: Path) -> None:
    """Draw training and validation loss over the steps; nothing where matplotlib is not installed."""
    if not CAN_DRAW:
        return
    from matplotlib.figure import Figure  # no pyplot: it would choose a window system

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss (nats per token)")
    for key, label, style in (
        ("loss", "training", "-"),
        ("validation_loss", "validation", "o-"),
    ):
        points = [(r["step"], r[key]) for r in records if key in r and math.isfinite(r[key])]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, markersize=4, linewidth=1.2)
            axes.legend()
    axes.grid(alpha=0.3)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
