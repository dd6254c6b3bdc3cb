"""Accuracy against the number of shots, a line for each precision, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgpt.atomic import atomic_file
from kerasgpt.errors import UsageError
from kerasgpt.extras import require

FORMATS = (".png", ".svg", ".pdf")


def check_plot(path: str, shots: Sequence[int] | None) -> None:
    """Refuse early what could not be drawn in the end.

    Raises:
        UsageError: it is no name of a picture, or there are no numbers of shots.
        MissingExtraError: matplotlib is not installed.
    """
    if Path(path).suffix not in FORMATS:
        raise UsageError(f"{path}: a plot is a file that ends in {', '.join(FORMATS)}")
    if not shots or len(shots) < 2:
        raise UsageError(
            "--plot: draws accuracy against the number of shots; give several, --shots 0,1,2,4,8"
        )
    require("matplotlib", "train", "a plot")


def draw(path: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Draw results of one task in several numbers of shots, with their intervals and the baselines.

    Args:
        path: of the picture, written atomically.
        results: in the form of ``evaluate --json``.
    """
    from matplotlib.figure import Figure  # no pyplot: it would choose a window system

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for precision in dict.fromkeys(result["precision"] for result in results):
        own = [result for result in results if result["precision"] == precision]
        for metric in (name for name in own[0]["metrics"] if name.startswith("acc")):
            _line(axes, own, metric, f"{precision}{metric.removeprefix('acc').replace('_', ', ')}")
    for style, (name, summary) in zip(("--", ":", "-."), results[0]["baselines"].items(), strict=False):
        axes.axhline(summary["metrics"]["acc"], color="gray", linestyle=style, label=name)
    shots = sorted({result["settings"]["shots"] for result in results})
    axes.set_xticks(shots, [str(each) for each in shots])
    axes.set_xlabel("examples in the prompt")
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix[1:], dpi=150)


def _line(axes: Any, results: Sequence[Mapping[str, Any]], metric: str, label: str) -> None:
    shots = [result["settings"]["shots"] for result in results]
    values = [result["metrics"][metric] for result in results]
    low, high = zip(*(result["intervals"][metric] for result in results), strict=True)
    (line,) = axes.plot(shots, values, marker="o", label=label)
    axes.fill_between(shots, low, high, color=line.get_color(), alpha=0.15)
