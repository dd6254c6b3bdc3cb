"""Columns go where they should, whatever the shapes, eagerly and in a graph."""

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.layers.cache import empty_cache, known_number, write_columns


@pytest.mark.parametrize(("start", "columns"), [(0, 6), (2, 1), (3, 3)])
def test_writing_equals_slice_assignment(start, columns):
    generator = np.random.default_rng(0)
    buffer = generator.normal(size=(2, 3, 6, 4)).astype("float32")
    update = generator.normal(size=(2, 3, columns, 4)).astype("float32")
    expected = buffer.copy()
    expected[:, :, start : start + columns] = update
    assert np.array_equal(write_columns(buffer, update, start), expected)
    traced = tf.function(
        write_columns,
        input_signature=[
            tf.TensorSpec((None, None, None, 4)),
            tf.TensorSpec((None, None, None, 4)),
            tf.TensorSpec((), tf.int32),
        ],
    )
    assert np.array_equal(traced(buffer, update, start), expected)


def test_an_empty_cache_has_room_and_nothing_in_it():
    cache = empty_cache(num_layers=3, batch_size=2, num_heads=4, capacity=9, head_dim=5, dtype="bfloat16")
    assert len(cache.keys) == len(cache.values) == 3
    assert int(cache.capacity) == 9
    assert cache.values[2].dtype == "bfloat16"
    assert not np.asarray(cache.keys[1], dtype="float32").any()


def test_a_number_is_known_but_while_a_graph_is_made():
    found = []
    tf.function(lambda number: found.append(known_number(number)))(tf.constant(3))
    assert (known_number(tf.constant(3)), *found) == (3, None)
