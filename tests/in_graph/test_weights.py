"""Stored weights: what comes back, in this process and from the file."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.in_graph.weights import PRECISIONS, GraphWeights, rounded

GENERATOR = np.random.default_rng(0)
ARRAYS = {
    "transformer.wte.weight": GENERATOR.normal(size=(50, 8)).astype(np.float32),
    "transformer.h.0.mlp.c_fc.weight": GENERATOR.normal(size=(8, 32)).astype(np.float32) * np.arange(32),
    "transformer.h.0.mlp.c_fc.bias": GENERATOR.normal(size=32).astype(np.float32),
}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_saved_model_computes_with_the_rounded_weights(tmp_path: Path, precision: str) -> None:
    module = tf.Module()
    module.weights = weights = GraphWeights(ARRAYS, precision)
    assert list(weights) == list(ARRAYS)
    assert "transformer.wte.weight" in weights
    assert "lm_head.weight" not in weights

    @tf.function(input_signature=[])
    def read() -> dict[str, tf.Tensor]:
        return {name: weights[name] for name in weights}

    tf.saved_model.save(module, str(tmp_path), {"read": read})
    found = tf.saved_model.load(str(tmp_path)).signatures["read"]()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], rounded(name, array, precision))


def test_rounding_is_by_column_of_a_matrix_and_by_row_of_a_table() -> None:
    for name, axis in (("transformer.wte.weight", 1), ("transformer.h.0.mlp.c_fc.weight", 0)):
        steps = np.abs(ARRAYS[name]).max(axis=axis, keepdims=True) / 127
        error = np.abs(rounded(name, ARRAYS[name], "int8") - ARRAYS[name])
        assert np.all(error <= 0.501 * steps)
    for name, array in ARRAYS.items():
        assert np.abs(rounded(name, array, "bf16") - array).max() <= np.abs(array).max() * 2**-8


def test_a_column_of_zeros_stays_one() -> None:
    assert not rounded("h.0.c_fc", np.zeros((4, 3), np.float32), "int8").any()
