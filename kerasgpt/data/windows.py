"""Windows: the rows that one sequence of ids gives, epoch after epoch, each a pure function of its number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.shards import Ids
from kerasgpt.data.shuffle import Permutation

HELD_SLOTS = 1 << 20  # orders of so many windows, 8 MB, are held in memory; longer ones are computed

Order: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.int64]]


class Plan(NamedTuple):
    """How an epoch goes through the ids.

    Attributes:
        offset: how far its first window begins before the first id.
        order: place in the epoch -> number of the window, both counted from 0.
    """

    offset: int
    order: Order


class Windows:
    """Windows of T ids with the id after each, which cover all ids once an epoch.

    Those of an epoch begin at multiples of T, moved by an offset of the epoch's own, and come in an order of
    its own. An order of at most `HELD_SLOTS` is numpy's permutation, a longer one is computed.

    Args:
        ids: (num_tokens,), at least 2.
        length: T.
        seed: of the offsets and orders; None means consecutive windows from the first id on, every epoch.
        num_slots: windows of an epoch, at least `fewest_slots`: what is more is empty.
        source: which of several sequences with the same seed this is.
    """

    def __init__(
        self, ids: Ids | NDArray[Any], length: int, seed: int | None, num_slots: int, source: int = 0
    ) -> None:
        self.ids = ids
        self.length = length
        self.seed = seed
        self.num_slots = num_slots
        self.source = source
        self._planned = (-1, Plan(0, np.asarray))

    @staticmethod
    def fewest_slots(num_ids: int, length: int, seed: int | None) -> int:
        """Windows it takes to have every id but the first as a label, wherever the first one begins."""
        return max(-(-(num_ids - 1) // length) + (seed is not None), 1)

    def read(self, numbers: Sequence[int]) -> Iterator[NDArray[np.int32]]:
        """Windows by their numbers, counted over all epochs, each with the id after it.

        Yields:
            int32 (size + 1,): size is T, less at the ends of the ids, and 0 in an empty window.
        """
        for start in self._starts(np.asarray(numbers, np.int64)).tolist():
            first, last = max(0, start), min(start + self.length, len(self.ids) - 1)
            if first < last:
                yield np.asarray(self.ids[first : last + 1], np.int32)
            else:
                yield np.zeros(1, np.int32)

    def _starts(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where windows begin among the ids, before the first or after the last of them as it may be."""
        epochs, places = np.divmod(numbers, self.num_slots)
        starts = np.empty_like(numbers)
        for epoch in np.unique(epochs).tolist():
            mine, plan = epochs == epoch, self.plan(epoch)
            starts[mine] = plan.order(places[mine]) * self.length - plan.offset
        return starts

    def plan(self, epoch: int) -> Plan:
        """The plan of an epoch; the last one asked for is kept."""
        if self._planned[0] != epoch:
            self._planned = (epoch, self._make_plan(epoch))
        return self._planned[1]

    def _make_plan(self, epoch: int) -> Plan:
        if self.seed is None:
            return Plan(0, np.asarray)
        entropy = [self.seed, epoch, *([self.source] if self.source else [])]
        generator = np.random.default_rng(entropy)
        offset = int(generator.integers(self.length))
        if self.num_slots > HELD_SLOTS:
            return Plan(offset, Permutation(self.num_slots, entropy))
        return Plan(offset, generator.permutation(self.num_slots).__getitem__)
