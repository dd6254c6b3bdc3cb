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


class Layout(NamedTuple):
    """How the windows of each epoch lie over the ids.

    Attributes:
        num_slots: windows of an epoch; those that no id is left for are empty.
        offsets: the least, and the one after the largest, of how far the first begins before the first id.
    """

    num_slots: int
    offsets: tuple[int, int]


def layout(num_ids: int, length: int, batch_size: int, *, is_moved: bool) -> Layout:
    """Lay windows over ids, so that each id but the first is a label once an epoch and no batch is empty.

    Args:
        num_ids: at least 2.
        length: T, of a window.
        batch_size: windows of a batch, of which an epoch has whole ones.
        is_moved: whether each epoch has an offset of its own, or all begin with the first id.
    """
    fewest = max(-(-(num_ids - 1) // length), 1)
    most_offset = fewest * length - (num_ids - 1)  # with which the fewest windows are enough
    if not is_moved or (fewest % batch_size == 0 and 2 * (most_offset + 1) >= length):
        full = -(-fewest // batch_size) * batch_size
        return Layout(full, (0, most_offset + 1 if is_moved else 1))
    # One window more than the fewest, which small offsets leave empty: alone in a batch if those fill theirs.
    least_offset = most_offset + 1 if fewest % batch_size == 0 else 0
    return Layout((fewest // batch_size + 1) * batch_size, (least_offset, length))


class Windows:
    """Windows of T ids with the id after each, which cover all ids once an epoch.

    Those of an epoch begin at multiples of T, moved by an offset of the epoch's own, and come in an order of
    its own. An order of at most `HELD_SLOTS` is numpy's permutation, a longer one is computed.

    Args:
        ids: (num_tokens,), at least 2.
        length: T.
        seed: of the offsets and orders; None means consecutive windows from the first id on, every epoch.
        laid: as `layout` says; None means in a ring, where the first id follows the last one, so that no
            window is cut short, and some ids are in two windows of an epoch.
        source: which of several sequences with the same seed this is.
    """

    def __init__(
        self,
        ids: Ids | NDArray[Any],
        length: int,
        seed: int | None,
        laid: Layout | None,
        source: int = 0,
    ) -> None:
        self.ids = ids
        self.length = length
        self.seed = seed
        self.is_ring = laid is None
        self.num_slots, self.offsets = laid or Layout(-(-len(ids) // length), (0, max(len(ids), 1)))
        self.source = source
        self._planned = (-1, Plan(0, np.asarray))

    def read(self, numbers: Sequence[int]) -> Iterator[NDArray[np.int32]]:
        """Windows by their numbers, counted over all epochs, each with the id after it.

        Yields:
            int32 (size + 1,): size is T; less at the ends of ids that are no ring, and 0 in an empty one.
        """
        for start in self._starts(np.asarray(numbers, np.int64)).tolist():
            yield self._in_ring(start) if self.is_ring else self._up_to_the_ends(start)

    def _up_to_the_ends(self, start: int) -> NDArray[np.int32]:
        first, last = max(0, start), min(start + self.length, len(self.ids) - 1)
        return np.asarray(self.ids[first : last + 1] if first < last else [0], np.int32)

    def _in_ring(self, start: int) -> NDArray[np.int32]:
        window = np.empty(self.length + 1, np.int32)
        filled = 0
        while filled < len(window):
            first = (start + filled) % len(self.ids)
            part = self.ids[first : first + len(window) - filled]
            window[filled : filled + len(part)] = part
            filled += len(part)
        return window

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
        offset = int(generator.integers(*self.offsets))
        if self.num_slots > HELD_SLOTS:
            return Plan(offset, Permutation(self.num_slots, entropy))
        return Plan(offset, generator.permutation(self.num_slots).__getitem__)
