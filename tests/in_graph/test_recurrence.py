"""The recurrence of a SavedModel against a naive one, and its steps against whole texts."""

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.in_graph.recurrence import GraphRecurrence
from kerasgpt.in_graph.weights import GraphWeights
from kerasgpt.models.causal_lm import load_model

IDS, LENGTHS = np.random.default_rng(1).integers(0, 290, (3, 9)), np.array([9, 2, 5])


@pytest.fixture
def network(recurrent_folder):
    model = load_model(recurrent_folder)
    return GraphRecurrence(model.config, GraphWeights(named_arrays(model)))


def logits_of(network, ids):
    hidden, _ = network.read_prompts(tf.constant(ids))
    flat = network.head(tf.reshape(hidden, [-1, hidden.shape[-1]]))
    return flat.numpy().reshape(*ids.shape, -1)


def test_logits_equal_a_naive_recurrence(network, recurrent_folder, naive_recurrence):
    for row, ids in zip(logits_of(network, IDS), IDS, strict=True):
        assert np.abs(row - naive_recurrence(recurrent_folder, ids)).max() < 1e-5


def test_padding_and_neighbours_leave_a_row_alone(network):
    model = network.model()
    whole = logits_of(network, IDS)
    state, logits = model.prefill(tf.constant(IDS), tf.constant(LENGTHS), 3)
    assert np.abs(logits.numpy() - whole[np.arange(3), LENGTHS - 1]).max() < 1e-5
    alone, expected = model.prefill(tf.constant(IDS[1:2, :2]), tf.constant(LENGTHS[1:2]), 3)
    assert np.abs(logits.numpy()[1] - expected.numpy()[0]).max() < 1e-5
    taken = model.take(state, tf.constant([1]))
    for layer, own in zip(taken, alone, strict=True):
        np.testing.assert_allclose(layer[0], own[0], atol=1e-6)


def test_of_nothing_there_are_no_logits_and_the_state_is_fresh(network):
    hidden, state = network.read_prompts(tf.zeros((2, 0), tf.int64))
    assert hidden.shape == (2, 0, network.config.hidden_dim)
    assert len(state) == network.config.num_layers
