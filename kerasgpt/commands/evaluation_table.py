"""Results of evaluations as a table: a row each, and a column for each figure with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table


def table(results: Sequence[Mapping[str, Any]]) -> Table:
    """Lay results of one task, and then its baselines, under their figures.

    Args:
        results: in the form of ``evaluate --json``; those of one task have the same figures.
    """
    first = results[0]
    names = [name for name in first["metrics"] if not name.startswith("num_")]
    found = Table(title=f"{first['task']}: {first['model']} ({first['engine']})", title_justify="left")
    found.add_column("")
    for name in names:
        found.add_column(name.replace("_", " "), justify="right")
    for result in results:
        found.add_row(row_name(result), *_cells(result, names))
    for name, summary in first["baselines"].items():
        found.add_row(name, *_cells(summary, names), style="dim")
    found.caption = _counts(results)
    found.caption_justify = "left"
    return found


def row_name(result: Mapping[str, Any]) -> str:
    """What tells a result from the others of its table."""
    shots = result["settings"].get("shots")
    return result["precision"] if shots is None else f"{result['precision']}, {shots} shots"


def number(value: float) -> str:
    """Four figures, or a whole number with commas.

    >>> number(0.51234), number(29.9), number(31245.6)
    ('0.5123', '29.9', '31,246')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cells(summary: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [
        f"{number(summary['metrics'][name])}\n[{', '.join(map(number, summary['intervals'][name]))}]"
        for name in names
    ]


def _counts(results: Sequence[Mapping[str, Any]]) -> str:
    """What was counted: examples, and what the first result counts, or the most that any does."""
    names = [name for name in results[0]["metrics"] if name.startswith("num_")]
    most = {name: max(result["metrics"][name] for result in results) for name in names}
    counts = {"num_examples": results[0]["num_examples"], **most}
    said = ", ".join(f"{number(value)} {name[4:].replace('_', ' ')}" for name, value in counts.items())
    return f"{said}; in brackets where 95 of 100 resampled data sets lie"
