"""How the matrices are stored; what the graphs answer with them is tested with the graphs."""

import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.export.blockwise import Blockwise
from kerasgpt.export.kernels import TABLES, TOKENS, Float32, dequantized, matrix_shapes
from kerasgpt.export.onnx_weights import weight_shapes

CONFIG = GPT2Config(vocabulary_size=11, max_sequence_length=7, num_layers=2, num_heads=1, hidden_dim=32)


def weights(config):
    generator = np.random.default_rng(0)
    return {
        name: generator.normal(0, 1, shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


def test_what_the_integers_stand_for_keeps_names_and_shapes():
    given = weights(CONFIG)
    seen = Float32(rounded=dequantized(Blockwise(8).quantized(CONFIG, given))).tensors(CONFIG, given)
    assert {name: array.shape for name, array in seen.items()} == weight_shapes(CONFIG)
    for name, array in seen.items():
        assert np.abs(array - given[name]).max() < 0.02
    assert np.abs(seen[TOKENS] - given[TOKENS]).max() > 0
    assert all(Float32().tensors(CONFIG, given)[name] is array for name, array in given.items())


@pytest.mark.parametrize("tied", [True, False])
def test_the_shapes_of_all_matrices_are_those_of_the_weights(tied):
    config = CONFIG.replace(tie_word_embeddings=tied)
    stored = weight_shapes(config)
    found = matrix_shapes(config)
    assert found == {name: stored[name][::-1] if name in TABLES else stored[name] for name in found}
    assert {TOKENS, *found} == set(Blockwise(8).names(config))
