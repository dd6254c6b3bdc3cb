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

    Args:
        session: of a fused graph.
        shape: (L, B, N, C, H): layers, rows, heads, columns of capacity, width of a head.

    Attributes:
        arrays: 2 L float32 arrays (B, N, C, H), a layer's key before its value.
        binding: of the session, to these arrays.
        newest: the lengths of the state that was written last, (B,).
    """

    def __init__(self, session: Any, shape: tuple[int, int, int, int, int]) -> None:
        num_layers, *rest = shape
        arrays = [np.zeros(rest, np.float32) for _ in range(2 * num_layers)]
        self._bind(session, arrays)

    def _bind(self, session: Any, arrays: list[NDArray[np.float32]]) -> None:
        self.arrays = arrays
        self.binding = session.io_binding()
        self.newest: Ids = np.zeros(len(arrays[0]), np.int64)
        for number, array in enumerate(arrays):
            layer, part = divmod(number, 2)
            place = ("cpu", 0, np.float32, array.shape, array.ctypes.data)
            self.binding.bind_input(past_name(layer, "value" if part else "key"), *place)
            self.binding.bind_output(present_name(layer, "value" if part else "key"), *place)

    @property
    def capacity(self) -> int:
        """C, columns that there is room for."""
        return int(self.arrays[0].shape[2])

    def rows(self, session: Any, start: int, stop: int) -> Cache:
        """Some of the rows, in the same memory."""
        part = Cache.__new__(Cache)
        part._bind(session, [array[start:stop] for array in self.arrays])
        return part

    def copied(self, session: Any, rows: Ids, num_columns: int, capacity: int) -> Cache:
        """The first columns of some rows, in memory of their own with a capacity of its own."""
        _, heads, _, width = self.arrays[0].shape
        copy = Cache(session, (len(self.arrays) // 2, len(rows), heads, capacity, width))
        for new, old in zip(copy.arrays, self.arrays, strict=True):
            new[:, :, :num_columns] = old[rows, :, :num_columns]
        return copy
