"""Confidence intervals by the bootstrap: the same figures of corpora drawn from the examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from kerasgpt.errors import UsageError
from kerasgpt.tasks.base import Counts, Figures, Outcome

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95


def intervals(
    metrics: Callable[[Counts], Figures],
    outcomes: Sequence[Outcome],
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, list[float]]:
    """Where a figure lies in 95 of 100 corpora of so many examples, by percentiles (Efron 1979).

    Each corpus draws N of the N outcomes with replacement; since metrics follow from sums, it is N counts of
    how often each was drawn, times the table of what each holds.

    Args:
        metrics: of a task: sums -> figures.
        outcomes: at least one.
        seed: of the drawing.
        num_resamples: corpora drawn.

    Returns:
        Metric -> lower and upper end, for all but counts (``num_...``).

    Raises:
        UsageError: `seed` is below 0.
    """
    if seed < 0:
        raise UsageError(f"seed is {seed}: it must be 0 or more")
    names = sorted({name for outcome in outcomes for name in outcome.counts})
    table = np.array([[outcome.counts.get(name, 0) for name in names] for outcome in outcomes], np.float64)
    generator, number = np.random.default_rng(seed), len(outcomes)
    drawn: dict[str, list[float]] = {}
    for _ in range(num_resamples):
        times = np.bincount(generator.integers(number, size=number), minlength=number)
        sums = dict(zip(names, (times @ table).tolist(), strict=True))
        for name, value in metrics(sums).items():
            drawn.setdefault(name, []).append(value)
    tail = 50 * (1 - CONFIDENCE)
    return {
        name: np.percentile(values, [tail, 100 - tail]).tolist()
        for name, values in drawn.items()
        if not name.startswith("num_")
    }
