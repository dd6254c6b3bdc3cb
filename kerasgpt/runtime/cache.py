"""The KV cache of a fused graph: one buffer for past and present, which the graph writes in place."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kerasgpt.artifacts import past_name, present_name
from kerasgpt.protocols import Ids

SPARE_COLUMNS: Final = 64  # free columns of a new cache, at least


class Cache:
    """Keys and values of each layer, bound to a session as its past and as its present.

    The memory has places for more rows than those in use; what was never written costs nothing, since
    the operating system hands out a page when it is first touched.

    Args:
        session: of a fused graph.
        memory: 2 L float32 arrays (R, N, C, H), a layer's key before its value; R rows have a place.
        start: the first row in use.
        stop: the one after the last.

    Attributes:
        arrays: the rows in use, 2 L float32 arrays (B, N, C, H).
        binding: of the session, to these arrays.
        newest: the lengths of the state that was written last, (B,).
    """

    def __init__(self, session: Any, memory: list[NDArray[np.float32]], start: int, stop: int) -> None:
        self._memory = memory
        self.arrays = [array[start:stop] for array in memory]
        self.binding = session.io_binding()
        self._fed: dict[str, NDArray[np.int64]] = {}
        self.newest: Ids = np.zeros(stop - start, np.int64)
        for number, array in enumerate(self.arrays):
            layer, part = divmod(number, 2)
            place = ("cpu", 0, np.float32, array.shape, array.ctypes.data)
            self.binding.bind_input(past_name(layer, "value" if part else "key"), *place)
            self.binding.bind_output(present_name(layer, "value" if part else "key"), *place)

    def feed(self, name: str, values: Ids) -> None:
        """Give the session integers, in memory that lives as long as they may be read."""
        fed = self._fed.get(name)
        if fed is None or fed.shape != values.shape:  # to bind costs more than to copy so few numbers
            fed = self._fed[name] = np.empty(values.shape, np.int64)
            self.binding.bind_input(name, "cpu", 0, np.int64, fed.shape, fed.ctypes.data)
        fed[...] = values

    @classmethod
    def empty(cls, session: Any, shape: tuple[int, int, int, int, int], num_places: int = 0) -> Cache:
        """New memory for (L, B, N, C, H): layers, rows, heads, columns of capacity, width of a head."""
        num_layers, num_rows, *rest = shape
        places = max(num_places, num_rows)
        memory = [np.zeros((places, *rest), np.float32) for _ in range(2 * num_layers)]
        return cls(session, memory, 0, num_rows)

    @property
    def capacity(self) -> int:
        """C, columns that there is room for."""
        return int(self._memory[0].shape[2])

    @property
    def num_places(self) -> int:
        """R, rows that there is room for."""
        return len(self._memory[0])

    def rows(self, session: Any, start: int, stop: int) -> Cache:
        """Some of the rows, in the same memory."""
        return Cache(session, self._memory, start, stop)

    def like(self, session: Any, num_rows: int, capacity: int, num_places: int = 0) -> Cache:
        """An empty one for the same model."""
        _, heads, _, width = self._memory[0].shape
        return Cache.empty(session, (len(self._memory) // 2, num_rows, heads, capacity, width), num_places)

    def write(self, places: slice | Ids, other: Cache, rows: slice | Ids, num_columns: int) -> None:
        """Copy the first columns of rows of another cache, or of this one, to places here."""
        for new, old in zip(self.arrays, other.arrays, strict=True):
            new[places, :, :num_columns] = old[rows, :, :num_columns]
