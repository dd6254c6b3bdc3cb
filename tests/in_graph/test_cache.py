"""The cache: rows keep to their own columns."""

import numpy as np
import tensorflow as tf

from kerasgpt.in_graph.cache import places, rows_of, unfolded, with_room, write_in_copy, write_in_place

HEADS = 2
KEYS = np.arange(3 * HEADS * 4 * 5, dtype=np.float32).reshape(3, HEADS, 4, 5)


def test_room_is_added_behind() -> None:
    cache = with_room([tf.constant(KEYS)], [tf.constant(-KEYS)], tf.constant(2))
    assert int(cache.columns) == 6
    whole = unfolded(cache.keys[0], HEADS, cache.columns).numpy()
    np.testing.assert_array_equal(whole[:, :, :4], KEYS)
    assert not whole[:, :, 4:].any()
    np.testing.assert_array_equal(unfolded(cache.values[0], HEADS, cache.columns)[:, :, :4], -KEYS)


def test_rows_are_copied_out() -> None:
    cache = with_room([tf.constant(KEYS)], [tf.constant(-KEYS)], tf.constant(1))
    some = rows_of(cache, HEADS, tf.constant([2, 0]))
    np.testing.assert_array_equal(unfolded(some.keys[0], HEADS, some.columns)[:, :, :4], KEYS[[2, 0]])


def test_tokens_go_to_their_own_columns_in_place_as_in_a_copy() -> None:
    cache = with_room([tf.constant(KEYS)], [tf.constant(KEYS)], tf.constant(1))
    where = places(tf.constant([[3, 4], [0, 1], [2, 3]]), HEADS, cache.columns)
    new = np.stack([np.full((3, HEADS, 5), 7), np.full((3, HEADS, 5), 8)], axis=1)  # (B, K, N, H)
    new[..., 0] += 10 * np.arange(HEADS)
    new = new.reshape(-1, 5).astype(np.float32)
    copied = write_in_copy(cache.keys[0], where, tf.constant(new))
    expected = np.concatenate([KEYS, np.zeros((3, HEADS, 1, 5), np.float32)], axis=2)
    np.testing.assert_array_equal(unfolded(cache.keys[0], HEADS, cache.columns), expected)
    for row, column in enumerate([3, 0, 2]):
        expected[row, :, column], expected[row, :, column + 1] = 7, 8
        expected[row, :, column : column + 2, 0] += 10 * np.arange(HEADS)[:, None]
    np.testing.assert_array_equal(unfolded(copied, HEADS, cache.columns), expected)
    written = write_in_place(cache.keys[0], where, tf.constant(new))
    np.testing.assert_array_equal(unfolded(written, HEADS, cache.columns), expected)
