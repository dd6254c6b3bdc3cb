"""Both networks of a SavedModel offer what its signatures ask for."""

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.in_graph.network import GraphNetwork
from kerasgpt.in_graph.recurrence import GraphRecurrence
from kerasgpt.in_graph.weights import GraphWeights
from kerasgpt.models.causal_lm import load_model


def test_transformer_and_recurrence_are_networks(transformer, recurrent_folder):
    model = load_model(recurrent_folder)
    recurrence = GraphRecurrence(model.config, GraphWeights(named_arrays(model)))
    assert isinstance(transformer, GraphNetwork)
    assert isinstance(recurrence, GraphNetwork)
    assert not isinstance(model, GraphNetwork)
