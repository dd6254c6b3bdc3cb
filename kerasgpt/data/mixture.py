"""Mixture: which source each row of a training run is taken from, by weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

from kerasgpt.errors import UsageError

_ONE = 1 << 32  # shares are integers of this unit: the same on every machine, without rounding that grows


class Mixture:
    """Gives out the rows of all batches, one after the other, to sources in proportion to their weights.

    Of the first n rows, floor(share n + 1/2) are of the first source; what is left is given to the others
    in the same way. So a source is never more than about a row away from its share, in each batch and over
    all, and which of its rows comes next is known without counting.

    Args:
        weights: one of each source; only their proportions matter.

    Raises:
        UsageError: one is negative or no number, or all are 0.

    >>> mixture = Mixture([3, 1])
    >>> [mixture.locate(row) for row in range(5)]
    [(0, 0), (0, 1), (1, 0), (0, 2), (0, 3)]
    """

    def __init__(self, weights: Sequence[float]) -> None:
        are_fine = all(_is_number(weight) and math.isfinite(weight) and weight >= 0 for weight in weights)
        if not are_fine or not 0 < sum(weights) < math.inf:
            raise UsageError(
                f"weights {list(weights)}: each must be a number of 0 or more, one more than 0, and their sum"
                " finite"
            )
        self.num_sources = len(weights)
        self._shares = [_share(weights[place:]) for place in range(len(weights))]

    def locate(self, row: int) -> tuple[int, int]:
        """Say where a row comes from.

        Args:
            row: its number, counted over all batches.

        Returns:
            The number of its source, and how many rows of that source came before it.
        """
        for source, share in enumerate(self._shares):
            before = (row * share + _ONE // 2) // _ONE
            if ((row + 1) * share + _ONE // 2) // _ONE > before:
                return source, before
            row -= before
        raise AssertionError("the last source that has a weight takes all rows that are left")


def require_weights(weights: Sequence[float], num_sources: int) -> None:
    """Check that there are weights for all of several sources, or none at all.

    Raises:
        UsageError: there are more or fewer, or they are no weights.
    """
    if len(weights) not in (0, num_sources):
        raise UsageError(f"{num_sources} paths and {len(weights)} weights: give one weight for each path")
    if len(weights):
        Mixture(weights)


def _is_number(weight: object) -> bool:
    return isinstance(weight, Real)


def _share(weights: Sequence[float]) -> int:
    """The first one's share of what all have, in units of 1/`_ONE`."""
    total = math.fsum(weights)
    return round(weights[0] / total * _ONE) if total else _ONE
