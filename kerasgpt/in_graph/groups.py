"""Rows in groups, one group after another, so that a large batch needs no more memory than a group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasgpt.architectures import AnyConfig
from kerasgpt.config import GPT2Config

LARGEST_CACHE_BYTES = 2**30
"""Of the keys and values of a group; rows that need more are read and written later."""

LARGEST_SCORES_BYTES = 2**30
"""Of the attention scores of a layer while the prompts of a group are read."""

LARGEST_GROUP = 64
"""Rows; so many logits, and marks of tokens seen, are held at a time."""

LARGEST_ANSWER_BYTES = 2**31 - 1
"""Of one output that grows with rows times tokens: a request for more is refused."""


def rows_per_group(config: AnyConfig, columns: Any) -> Any:
    """How many rows of so many columns, int64 (), go together: int32 ()."""
    column_bytes = 2 * 4 * config.num_layers * config.hidden_dim
    columns = tf.maximum(tf.cast(columns, tf.int64), 1)
    rows = LARGEST_CACHE_BYTES // column_bytes // columns
    if isinstance(config, GPT2Config):
        rows = tf.minimum(rows, LARGEST_SCORES_BYTES // (4 * config.num_heads) // columns**2)
    return tf.cast(tf.clip_by_value(rows, 1, LARGEST_GROUP), tf.int32)


def in_groups(function: Callable[..., Any], arguments: Any, group_size: Any, empty: Any) -> Any:
    """Apply a function to groups of rows, and lay the results one below the other.

    Args:
        function: any structure of tensors (R, ...) as in `arguments` -> one as in `empty`.
        arguments: a tuple of structures of tensors (B, ...).
        group_size: int32 (), R; the last group may be smaller.
        empty: the results of no rows, tensors (0, ...).
    """
    batch = tf.shape(tf.nest.flatten(arguments)[0])[0]

    def body(start: Any, done: Any) -> tuple[Any, Any]:
        part = tf.nest.map_structure(lambda tensor: tensor[start : start + group_size], arguments)
        new = function(*part)
        return start + group_size, tf.nest.map_structure(
            lambda old, more: tf.concat([old, more], 0), done, new
        )

    shapes = tf.nest.map_structure(lambda tensor: tf.TensorShape([None, *tensor.shape[1:]]), empty)
    return tf.while_loop(
        lambda start, _: start < batch,
        body,
        (tf.constant(0), empty),
        (tf.TensorShape([]), shapes),
        parallel_iterations=1,
    )[1]


def refuse_large(num_values: Any, what: str) -> Any:
    """Assert that a float32 answer of so many numbers, int64 (), is within bounds."""
    message = f"{what} would take more than {LARGEST_ANSWER_BYTES} bytes: ask for fewer or shorter rows"
    return tf.debugging.Assert(num_values <= LARGEST_ANSWER_BYTES // 4, [message, num_values])
