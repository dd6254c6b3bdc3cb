"""Embeddings are lookups with a dense gradient, and the head is their transpose or its own."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.layers.embedding import PositionEmbedding, TokenAndPositionEmbedding, TokenEmbedding


def test_encoding_is_the_sum_of_both_lookups():
    layer = TokenAndPositionEmbedding(10, 8, 4)
    ids, positions = np.array([[1, 2, 3], [9, 9, 0]]), np.array([[0, 1, 2], [0, 0, 1]])
    encoding = layer(ids, positions)
    tokens = np.asarray(layer.token_embedding.embeddings)
    places = np.asarray(layer.position_embedding.embeddings)
    assert np.allclose(encoding, tokens[ids] + places[positions])


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_is_the_transpose_or_its_own(tied):
    layer = TokenAndPositionEmbedding(10, 8, 4, tie_word_embeddings=tied)
    layer.build()
    hidden = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    table = layer.token_embedding.embeddings
    head = np.asarray(table).T if tied else np.asarray(layer.token_embedding.reverse_embeddings)
    assert np.allclose(layer.logits(hidden), hidden @ head, atol=1e-6)
    assert len(layer.trainable_variables) == (2 if tied else 3)


def test_a_functional_model_reads_and_writes_by_one_table(tmp_path):
    layer = TokenAndPositionEmbedding(10, 8, 4)
    ids, positions = keras.Input((3,), dtype="int32"), keras.Input((3,), dtype="int32")
    model = keras.Model([ids, positions], layer.logits(layer(ids, positions)))
    assert model.output_shape == (None, 3, 10)
    assert len(model.weights) == 2
    fed = [np.array([[1, 2, 9]]), np.array([[0, 1, 2]])]
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(fed), model(fed))


def test_symbolic_vectors_stand_in_place_of_ids():
    layer = TokenAndPositionEmbedding(10, 8, 4)
    vectors, positions = keras.Input((3, 4)), keras.Input((3,), dtype="int32")
    model = keras.Model([vectors, positions], layer(None, positions, inputs_embeds=vectors))
    fed = np.ones((2, 3, 4), "float32"), np.array([[0, 1, 2]] * 2)
    np.testing.assert_array_equal(model(fed), layer(None, fed[1], inputs_embeds=fed[0]))


@pytest.mark.parametrize("layer", [TokenEmbedding(6, 4, tie_weights=False), PositionEmbedding(6, 4)])
def test_gradients_are_dense(layer):
    layer.build(None)
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(layer(np.array([[1, 1, 5]])) ** 2)
    gradient = tape.gradient(result, layer.embeddings.value)
    assert isinstance(gradient, tf.Tensor)
    assert np.allclose(gradient[1], 4 * np.asarray(layer.embeddings)[1])  # two occurrences of 2 w


def test_configuration_round_trips():
    layer = TokenAndPositionEmbedding(10, 8, 4, 0.1, 0.03, False, name="embedding")
    assert TokenAndPositionEmbedding.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    "settings", [{"logit_soft_cap": 0.5}, {"reverse_dtype": "float32"}, {"mask_zero": True}]
)
def test_other_settings_are_keras_own(settings):
    ours, theirs = (
        kind(10, 4, dtype="mixed_bfloat16", **settings)
        for kind in (TokenEmbedding, keras.layers.ReversibleEmbedding)
    )
    for layer in (ours, theirs):
        layer.build(None)
    theirs.embeddings.assign(ours.embeddings)
    ids = np.array([[1, 0, 3]])
    vectors, expected = ours(ids), theirs(ids)
    np.testing.assert_array_equal(vectors, expected)
    masks = [getattr(each, "_keras_mask", None) for each in (vectors, expected)]
    assert [mask is None for mask in masks] == ["mask_zero" not in settings] * 2
    if masks[0] is not None:
        np.testing.assert_array_equal(*masks)
    logits, others = ours(8 * vectors, reverse=True), theirs(8 * expected, reverse=True)
    assert logits.dtype == others.dtype
    np.testing.assert_allclose(tf.cast(logits, "float32"), tf.cast(others, "float32"), atol=1e-2)


def test_masked_hidden_states_are_read_without_a_warning():
    layer = TokenEmbedding(6, 4)
    hidden = keras.layers.Masking()(np.ones((1, 2, 4), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer.build(None)
        layer(hidden, reverse=True)
