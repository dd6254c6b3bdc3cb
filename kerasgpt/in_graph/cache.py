"""The KV cache of the graph: of each row its own tokens, in its first columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class GraphCache(NamedTuple):
    """Keys and values of all layers; column j of a row belongs to its token number j.

    So padding has no columns of its own: what stands behind a row's tokens is written over before a query may
    see it, since a query at position p sees the columns 0 .. p.

    Attributes:
        keys: L tensors float32 (B N C, H): heads of rows, and columns of heads, one after another.
        values: L tensors likewise.
        columns: int32 (), C.
    """

    keys: tuple[Any, ...]
    values: tuple[Any, ...]
    columns: Any


def with_room(keys: list[Any], values: list[Any], room: Any) -> GraphCache:
    """Put free columns behind keys and values.

    Args:
        keys: L tensors (B, N, T, H).
        values: L tensors likewise.
        room: int32 (), columns more; at least 1, so that nothing of a caller's is ever written to.
    """
    heads = [_padded(part, room) for part in (*keys, *values)]
    columns = tf.shape(keys[0])[2] + room
    return GraphCache(tuple(heads[: len(keys)]), tuple(heads[len(keys) :]), columns)


def _padded(part: Any, room: Any) -> Any:
    padded = tf.pad(part, [[0, 0], [0, 0], [0, room], [0, 0]])
    return tf.reshape(padded, [-1, part.shape[3]])


def unfolded(part: Any, num_heads: int, columns: Any) -> Any:
    """Keys or values (B N C, H) as (B, N, C, H)."""
    return tf.reshape(part, tf.stack([-1, num_heads, columns, part.shape[1]]))


def rows_of(cache: GraphCache, num_heads: int, rows: Any) -> GraphCache:
    """Keep some rows, int32 (R,), in a copy."""

    def kept(part: Any) -> Any:
        width = part.shape[1]
        row_major = tf.reshape(part, tf.stack([-1, num_heads * cache.columns * width]))
        return tf.reshape(tf.gather(row_major, rows), [-1, width])

    return GraphCache(tuple(map(kept, cache.keys)), tuple(map(kept, cache.values)), cache.columns)


def places(positions: Any, num_heads: int, columns: Any) -> Any:
    """Where tokens' keys go: positions int32 (B, K) -> indices of the parts' first axis, int32 (B K N,)."""
    heads = tf.range(tf.shape(positions)[0] * num_heads)
    first = tf.reshape(heads * columns, [-1, 1, num_heads])
    return tf.reshape(first + positions[:, :, None], [-1])


def write_in_place(part: Any, where: Any, new: Any) -> Any:
    """Overwrite (B N, H) of keys or values (B N C, H) without a copy.

    For tensors that nothing else reads, as those which a loop carries: what was there is gone.
    """
    written = tf.raw_ops.InplaceUpdate(x=part, i=where, v=new)
    return tf.ensure_shape(written, part.shape)


def write_in_copy(part: Any, where: Any, new: Any) -> Any:
    """The same for a compiler, which knows by itself when it needs no copy."""
    return tf.tensor_scatter_nd_update(part, where[:, None], new)
