"""bytes -> text piece by piece in the graph: the bytes of an unfinished character wait for the next piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def split_unfinished(data: Any) -> tuple[Any, Any]:
    r"""Cut off the beginning of a UTF-8 character at the end of strings, if what follows may complete it.

    Args:
        data: string (B,), any bytes.

    Returns:
        What is complete, malformed bytes included, and what waits, at most three bytes: both string (B,).

    >>> complete, waiting = split_unfinished(tf.constant([b"ab", b"a\xf0\x9f", b"\xe0\x80"]))
    >>> complete.numpy().tolist(), waiting.numpy().tolist()
    ([b'ab', b'a', b'\xe0\x80'], [b'', b'\xf0\x9f', b''])
    """
    ends = tf.strings.substr(tf.strings.join(["aaa", data]), -3, 3)
    last = tf.cast(tf.io.decode_raw(ends, tf.uint8), tf.int32)
    last = tf.reshape(last, tf.concat([tf.shape(data), [3]], 0))  # (B, 3), of no strings too
    third, second, first = last[:, 0], last[:, 1], last[:, 2]  # counted from the end
    waiting = tf.where(
        _may_be_second(third, second, of=4) & (first >= 0x80) & (first <= 0xBF),
        3,
        tf.where(_may_be_second(second, first, of=3), 2, tf.where((first >= 0xC2) & (first <= 0xF4), 1, 0)),
    )
    num_complete = tf.strings.length(data) - waiting
    zeros = tf.zeros_like(waiting)
    return tf.strings.substr(data, zeros, num_complete), tf.strings.substr(data, num_complete, waiting)


def _may_be_second(lead: Any, byte: Any, of: int) -> Any:
    """Whether a character of at least `of` bytes may begin with these two: int32 (B,) each -> bool (B,)."""
    ranges = tf.gather(tf.constant(_second_bytes()), lead)  # (B, 2)
    long_enough = lead >= (0xE0 if of == 3 else 0xF0)
    return long_enough & (byte >= ranges[:, 0]) & (byte <= ranges[:, 1])


def _second_bytes() -> NDArray[np.int32]:
    """First and last byte that may follow each lead byte (Unicode 15, table 3-7), int32 (256, 2)."""
    table = np.full((256, 2), (1, 0), np.int32)  # nothing may follow
    table[0xC2:0xF5] = (0x80, 0xBF)
    # After 0xED Python waits for the third byte of a surrogate too, before it replaces all three; so do we.
    table[0xE0, 0], table[0xF0, 0], table[0xF4, 1] = 0xA0, 0x90, 0x8F
    return table
