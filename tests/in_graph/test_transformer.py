"""The graph's forward pass against the Keras model."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import ACTIVATIONS, GPT2Config
from kerasgpt.export.saved_model import graph_weights
from kerasgpt.in_graph.cache import with_room
from kerasgpt.in_graph.transformer import GraphTransformer
from kerasgpt.in_graph.weights import GraphWeights
from kerasgpt.models.gpt2 import GPT2CausalLM


def pair(
    centred: bool = True, compiled: bool = False, **changes: Any
) -> tuple[GPT2CausalLM, GraphTransformer]:
    """A random model whose norms and biases are no ones and zeros, and its graph."""
    keras.utils.set_random_seed(2)
    config = GPT2Config(31, max_sequence_length=16, num_layers=2, num_heads=4, hidden_dim=32, **changes)
    model = GPT2CausalLM(config.replace(initializer_range=0.3))
    model.build()
    for weight in model.weights:
        if len(weight.shape) == 1:
            weight.assign(np.asarray(weight) + keras.random.normal(weight.shape, stddev=0.3))
    # "bf16" arrays before rounding: those of a graph whose norms subtract the mean.
    arrays = graph_weights(config, named_arrays(model), "fp32" if centred else "bf16")
    return model, GraphTransformer(config, GraphWeights(arrays), centred=centred, compiled=compiled)


IDS = np.random.default_rng(0).integers(0, 31, (3, 9))


@pytest.mark.parametrize(
    "changes",
    [
        *({"activation": name} for name in ACTIVATIONS),
        {"tie_word_embeddings": False, "layer_norm_epsilon": 1e-3, "intermediate_dim": 40},
        {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
        {"centred": False},
    ],
    ids=str,
)
def test_prompts_give_the_logits_of_keras(changes: dict[str, Any]) -> None:
    model, graph = pair(**changes)
    stream, _, _ = graph.read_prompts(tf.constant(IDS))
    logits = graph.head(graph.final_norm(tf.reshape(stream, [-1, 32])))
    np.testing.assert_allclose(tf.reshape(logits, [3, 9, -1]), model(IDS), atol=3e-5)


def test_several_tokens_a_step_are_each_alone_and_may_be_written_over() -> None:
    model, graph = pair()
    expected = np.asarray(model(IDS))
    _, keys, values = graph.read_prompts(tf.constant(IDS[:, :4]))
    cache = with_room(keys, values, tf.constant(6))
    rows = np.arange(3)[:, None]
    for first, width in ((0, 2), (1, 4), (5, 1)):  # the second token is read twice, at first a wrong one
        places = np.array([[1], [3], [2]]) + first + np.arange(width)
        ids = IDS[rows, places]
        is_right = np.ones((3, width), bool)
        if first == 0:
            ids[:, 1], is_right[:, 1] = (ids[:, 1] + 1) % 31, False
        stream, cache = graph.read_next(tf.constant(ids), tf.constant(places, tf.int32), cache)
        logits = tf.reshape(graph.head(graph.final_norm(stream)), [3, width, -1]).numpy()
        np.testing.assert_allclose(logits[is_right], expected[rows, places][is_right], atol=3e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_token_by_token_is_at_once_for_rows_of_any_length(compiled: bool) -> None:
    model, graph = pair(compiled=compiled)
    expected = np.asarray(model(IDS))
    lengths = np.array([1, 4, 2])
    _, keys, values = graph.read_prompts(tf.constant(IDS[:, :4]))  # what is behind a row's length is nothing
    cache = with_room(keys, values, tf.constant(6))
    for step in range(5):
        positions = lengths + step
        ids = tf.constant(IDS[np.arange(3), positions])
        stream, cache = graph.read_next(ids[:, None], tf.constant(positions, tf.int32)[:, None], cache)
        logits = graph.head(graph.final_norm(stream))
        np.testing.assert_allclose(logits, expected[np.arange(3), positions], atol=3e-5)
