"""Stop texts in the graph: whether a text holds one, what comes before it, what might still begin one."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def holds(data: Any, stop: Any) -> Any:
    """Whether each text holds its stop text, if it has one: string (B,) each -> bool (B,)."""

    def search() -> Any:
        return tf.map_fn(
            lambda row: (row[1] != "") & (tf.size(_split(*row)) > 1),
            (data, stop),
            fn_output_signature=tf.TensorSpec([], tf.bool),
        )

    return tf.cond(tf.reduce_any(stop != ""), search, lambda: tf.zeros_like(stop, tf.bool))


def cut_at_stop(data: Any, stop: Any) -> Any:
    """What comes before the stop text, if it is there; both string (B,)."""

    def before(row: tuple[Any, Any]) -> Any:
        return tf.cond(row[1] != "", lambda: _split(*row)[0], lambda: row[0])

    def cut() -> Any:
        return tf.map_fn(before, (data, stop), fn_output_signature=tf.TensorSpec([], tf.string))

    return tf.cond(tf.reduce_any(stop != ""), cut, lambda: data)


def before_a_beginning(data: Any, stop: Any) -> Any:
    """Leave out the longest end of each text that may be the beginning of its stop text: string (B,) each."""

    def shortened(row: tuple[Any, Any]) -> Any:
        text, wanted = row
        longest = tf.minimum(tf.maximum(tf.strings.length(wanted) - 1, 0), tf.strings.length(text))
        lengths = tf.range(1, longest + 1)  # none where there is no stop text
        ends = tf.strings.substr(tf.fill(tf.shape(lengths), text), -lengths, lengths)
        beginnings = tf.strings.substr(tf.fill(tf.shape(lengths), wanted), tf.zeros_like(lengths), lengths)
        held = tf.reduce_max(tf.concat([[0], tf.where(ends == beginnings, lengths, 0)], 0))
        return tf.strings.substr(text, 0, tf.strings.length(text) - held)

    def cut() -> Any:
        return tf.map_fn(shortened, (data, stop), fn_output_signature=tf.TensorSpec([], tf.string))

    return tf.cond(tf.reduce_any(stop != ""), cut, lambda: data)


def _split(text: Any, separator: Any) -> Any:
    """Split one text at a separator: string () each -> string (N,)."""
    return tf.raw_ops.StringSplitV2(input=text[None], sep=separator).values
