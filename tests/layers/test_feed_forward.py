"""The feed-forward layer and its activations against numpy."""

import math

import numpy as np
import pytest

from kerasgpt.config import ACTIVATIONS
from kerasgpt.errors import UsageError
from kerasgpt.layers.feed_forward import FeedForward, activation_function

FORMULAS = {
    "gelu_new": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_their_formulas(name):
    x = np.linspace(-5, 5, 101)
    assert np.allclose(activation_function(name)(x.astype("float32")), FORMULAS[name](x), atol=1e-5)


def test_equals_the_formula():
    layer = FeedForward(12, "relu", initializer_range=0.5)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    output = layer(x)
    inner = np.maximum(x @ np.asarray(layer.expand.kernel) + np.asarray(layer.expand.bias), 0)
    assert np.allclose(output, inner @ np.asarray(layer.contract.kernel), atol=1e-5)


def test_an_unknown_activation_is_refused():
    with pytest.raises(UsageError, match="did you mean 'gelu_new'"):
        FeedForward(8, "gelu_mew")


def test_configuration_round_trips():
    layer = FeedForward(8, "silu", 0.1, 0.03, 0.01, name="feed_forward")
    assert FeedForward.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(("value", "deviation"), [(0.0, 0.0), (None, 0.02), (0.5, 0.5)])
def test_the_output_begins_as_spread_as_it_is_told(value, deviation):
    layer = FeedForward(12, output_initializer_range=value)
    layer.build((None, None, 64))
    assert np.std(np.asarray(layer.contract.kernel)) == pytest.approx(deviation, rel=0.1)
