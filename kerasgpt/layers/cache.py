"""KVCache: the keys and values of the positions read so far."""

from __future__ import annotations

from operator import index
from typing import Any, NamedTuple

import keras
from keras import KerasTensor, ops

Tensor = Any
"""A tensor of whichever backend Keras runs on."""


class KVCache(NamedTuple):
    """Keys and values of all layers in buffers of fixed capacity, an argument and a result of each call.

    Column j of a buffer holds what was read j-th, padding included; `length` columns are filled.

    Attributes:
        keys: L tensors (B, N, C, H), C being the capacity in columns.
        values: L tensors (B, N, C, H).
        length: int32 scalar, columns filled.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    length: Tensor

    @property
    def capacity(self) -> Any:
        """C, the columns there is room for."""
        return ops.shape(self.keys[0])[2]


def empty_cache(
    *, num_layers: int, batch_size: Any, num_heads: int, capacity: Any, head_dim: int, dtype: str
) -> KVCache:
    """Make a cache that has read nothing; sizes may be scalar tensors."""
    shape = (batch_size, num_heads, capacity, head_dim)
    buffers = [ops.zeros(shape, dtype=dtype) for _ in range(2 * num_layers)]
    return KVCache(tuple(buffers[:num_layers]), tuple(buffers[num_layers:]), ops.zeros((), dtype="int32"))


def cache_like(cache: KVCache) -> KVCache:
    """The symbolic form of a cache, of any number of rows and columns."""
    heads, _, width = cache.keys[0].shape[1:]
    dtype = keras.backend.standardize_dtype(cache.keys[0].dtype)
    buffers = [KerasTensor((None, heads, None, width), dtype) for _ in cache.keys]
    return KVCache(tuple(buffers), tuple(buffers), KerasTensor((), "int32"))


def known_number(number: Any) -> int | None:
    """The value of an integer scalar, or None while a graph is made, where it has none yet."""
    try:
        return index(number)  # int() itself TensorFlow would make a part of the graph
    except Exception:  # each backend has an error of its own for it
        return None


def write_columns(buffer: Tensor, update: Tensor, start: Tensor) -> Tensor:
    """Put T new columns into a buffer from column `start` on.

    Args:
        buffer: (B, N, C, H).
        update: (B, N, T, H).
        start: int32 scalar, with start + T <= C.

    Returns:
        The buffer (B, N, C, H) with its columns start .. start + T - 1 replaced.
    """
    # A scatter, since TensorFlow runs it in place in a loop and it is a core op; Keras's slice_update
    # becomes an XLA op there, which not every server of a SavedModel has.
    batch, heads, columns, width = ops.shape(update)
    number = ops.arange(batch * heads * columns, dtype="int32")
    row, head, column = number // (heads * columns), number // columns % heads, number % columns
    indices = ops.stack([row, head, start + column], axis=-1)  # (B N T, 3)
    values = ops.reshape(ops.cast(update, buffer.dtype), (-1, width))  # (B N T, H)
    return ops.scatter_update(buffer, indices, values)
