"""Which rows are read together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

LOGITS_BUDGET = 2**26  # numbers in the largest (B, T, V) array asked of an engine: 256 MiB
LARGEST_BATCH = 64  # rows decoded together: more of them only make the cache grow


def batches(lengths: Sequence[int], vocabulary_size: int) -> Iterator[list[int]]:
    """Group the rows that have tokens, the longest first, so that (B, T, V) stays within the budget.

    Args:
        lengths: tokens of each row.
        vocabulary_size: V.

    Yields:
        Numbers of rows.

    >>> list(batches([3, 0, 9], vocabulary_size=50257))
    [[2, 0]]
    """
    rows = [number for number, length in enumerate(lengths) if length]
    rows.sort(key=lambda number: -lengths[number])
    while rows:
        per_row = lengths[rows[0]] * vocabulary_size
        size = min(max(LOGITS_BUDGET // per_row, 1), LARGEST_BATCH)
        yield rows[:size]
        rows = rows[size:]
