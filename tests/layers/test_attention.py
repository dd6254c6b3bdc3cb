"""Attention against the formula written out with loops."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.errors import UsageError
from kerasgpt.layers.attention import MultiHeadAttention, attention_mask_of, num_query_blocks
from kerasgpt.layers.block import TransformerBlock


def naive_attention(layer, hidden):
    """One query, one head at a time: softmax over the earlier positions."""
    batch, length, width = hidden.shape
    fused = hidden @ np.asarray(layer.qkv.kernel) + np.asarray(layer.qkv.bias)
    query, key, value = np.split(fused, 3, axis=-1)
    head_dim = width // layer.num_heads
    scale = layer.attention_scale or head_dim**-0.5
    mixed = np.zeros_like(hidden)
    for row in range(batch):
        for head in range(layer.num_heads):
            columns = slice(head * head_dim, (head + 1) * head_dim)
            for position in range(length):
                scores = key[row, : position + 1, columns] @ query[row, position, columns] * scale
                weights = np.exp(scores - scores.max())
                mixed[row, position, columns] = weights / weights.sum() @ value[row, : position + 1, columns]
    return mixed @ np.asarray(layer.output_projection.kernel) + np.asarray(layer.output_projection.bias)


@pytest.mark.parametrize("scale", [None, 0.7])
def test_equals_the_formula(scale):
    layer = MultiHeadAttention(num_heads=4, attention_scale=scale, initializer_range=0.5)
    hidden = np.random.default_rng(0).normal(size=(2, 7, 16)).astype("float32")
    output, _ = layer(hidden, attention_mask_of(None, 7, 7, 0))
    assert np.allclose(output, naive_attention(layer, hidden), atol=1e-5)


def test_the_mask_is_causal_and_hides_padding():
    mask = np.asarray(attention_mask_of(np.array([[0, 1, 1, 1]]), 2, 4, 1))
    assert mask.tolist() == [[[[False, True, False, False], [False, True, True, False]]]]


def test_the_mask_keeps_segments_apart():
    segments = np.array([[0, 0, 1, 1], [5, 5, 5, 5]])
    mask = np.asarray(attention_mask_of(np.array([[1, 1, 1, 0], [0, 1, 1, 1]]), 4, 4, 0, segments))
    for row, query, key in np.ndindex(2, 4, 4):
        is_padding = (row, key) in ((0, 3), (1, 0))
        expected = key <= query and segments[row, key] == segments[row, query] and not is_padding
        assert mask[row, 0, query, key] == expected


@pytest.mark.parametrize("length", [7, 250, 256])
def test_a_mask_that_shows_later_positions_shows_none(length):
    """In blocks of queries they are not even computed: so at no length."""
    layer = MultiHeadAttention(num_heads=2, initializer_range=0.5)
    hidden = np.random.default_rng(0).normal(size=(1, length, 8)).astype("float32")
    everything = np.ones((1, 1, length, length), bool)
    causal, _ = layer(hidden, attention_mask_of(None, length, length, 0))
    np.testing.assert_allclose(layer(hidden, everything)[0], causal, atol=1e-6)


def test_shapes_are_those_of_the_result():
    layer = MultiHeadAttention(num_heads=2)
    output, keys_and_values = layer(np.zeros((3, 5, 8), "float32"), None)
    found = keras.tree.map_structure(lambda array: tuple(array.shape), (output, keys_and_values))
    assert layer.compute_output_shape((3, 5, 8)) == found


def test_without_a_mask_a_cache_is_read_all_the_same():
    layer = MultiHeadAttention(num_heads=2, initializer_range=0.5)
    hidden = np.random.default_rng(0).normal(size=(2, 6, 8)).astype("float32")
    whole, _ = layer(hidden, None)
    buffers = np.zeros((2, 2, 7, 4), "float32"), np.zeros((2, 2, 7, 4), "float32")
    first, filled = layer(hidden[:, :4], None, cache=buffers, start=0)
    second, (keys, _) = layer(hidden[:, 4:], None, cache=filled, start=4)
    assert np.allclose(np.concatenate([first, second], axis=1), whole, atol=1e-6)
    assert keys.shape == (2, 2, 7, 4)


def test_a_symbolic_cache_keeps_its_shape():
    hidden, mask = keras.Input((None, 8)), keras.Input((1, None, 7), dtype="bool")
    cache = keras.Input((2, 7, 4)), keras.Input((2, 7, 4))
    for layer in (MultiHeadAttention(num_heads=2), TransformerBlock(num_heads=2, intermediate_dim=16)):
        _, (keys, values) = layer(hidden, mask, cache=cache, start=0)
        assert keys.shape == values.shape == (None, 2, 7, 4)


def test_a_row_that_may_see_nothing_stays_finite():
    layer = MultiHeadAttention(num_heads=2)
    mask = attention_mask_of(np.zeros((1, 3)), 3, 3, 0)
    output, _ = layer(np.ones((1, 3, 8), "float32"), mask)
    assert np.isfinite(np.asarray(output)).all()


def test_dropout_acts_in_training_only():
    layer = MultiHeadAttention(num_heads=2, attention_dropout=0.5, dropout=0.5, initializer_range=0.5)
    hidden = np.random.default_rng(0).normal(size=(2, 7, 16)).astype("float32")
    mask = attention_mask_of(None, 7, 7, 0)
    once, again = layer(hidden, mask)[0], layer(hidden, mask)[0]
    assert np.array_equal(once, again)
    assert not np.allclose(layer(hidden, mask, training=True)[0], once)


def test_configuration_round_trips():
    layer = MultiHeadAttention(2, 0.3, 0.1, 0.2, 0.02, 0.01, name="attention")
    assert MultiHeadAttention.from_config(layer.get_config()).get_config() == layer.get_config()


def test_blocks_of_queries_are_the_whole_at_once(monkeypatch):
    hidden = np.random.default_rng(5).normal(size=(2, 12, 8)).astype("float32")
    padding = np.arange(12)[None] < np.array([[12], [9]])
    layer = MultiHeadAttention(num_heads=2)
    whole, _ = layer(hidden, attention_mask_of(padding, 12, 12, 0))
    monkeypatch.setattr("kerasgpt.layers.attention.QUERY_BLOCK", 4)
    assert num_query_blocks(12) == 3
    assert num_query_blocks(10) == num_query_blocks(None) == 1
    divided, _ = layer(hidden, attention_mask_of(padding, 12, 12, 0))
    np.testing.assert_allclose(divided, whole, atol=1e-6)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("length", [128, 256, 384])
def test_a_traced_function_answers_as_a_plain_call(policy, length):
    # TensorFlow's own fusion of product and sum is wrong where blocks have several sizes.
    layer = MultiHeadAttention(num_heads=2, initializer_range=0.5, dtype=policy)
    hidden = np.random.default_rng(0).normal(size=(2, length, 16)).astype("float32")
    mask = attention_mask_of(None, length, length, 0)
    expected, _ = layer(hidden, mask)
    found = tf.function(lambda hidden: layer(hidden, attention_mask_of(None, length, length, 0))[0])(hidden)
    tolerance = 1e-5 if policy == "float32" else 0.05
    np.testing.assert_allclose(
        keras.ops.cast(found, "float32"), keras.ops.cast(expected, "float32"), atol=tolerance
    )


@pytest.mark.parametrize(("value", "deviation"), [(0.0, 0.0), (None, 0.02), (0.5, 0.5)])
def test_the_output_begins_as_spread_as_it_is_told(value, deviation):
    layer = MultiHeadAttention(num_heads=2, output_initializer_range=value)
    layer.build((None, None, 64))
    assert np.std(np.asarray(layer.output_projection.kernel)) == pytest.approx(deviation, rel=0.1)


@pytest.mark.parametrize("floatx", ["float16", "bfloat16", "float64"])
def test_what_keras_takes_plain_numbers_for_changes_nothing(floatx):
    layer = MultiHeadAttention(num_heads=2, initializer_range=0.5, dtype="float32")
    hidden = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
    mask = attention_mask_of(None, 5, 5, 0)
    expected, _ = layer(hidden, mask)
    keras.config.set_floatx(floatx)
    try:
        found, _ = layer(hidden, mask)
    finally:
        keras.config.set_floatx("float32")
    np.testing.assert_array_equal(found, expected)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UsageError, match="a width of 8 is not a multiple of num_heads 3"):
        MultiHeadAttention(3)(np.zeros((1, 3, 8), "float32"), None)
