"""Which matrices become integers, and how; what the graphs answer with them is tested with the graphs."""

import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.export.blockwise import Blockwise
from kerasgpt.export.kernels import TOKENS
from kerasgpt.export.onnx_weights import weight_shapes

CONFIG = GPT2Config(vocabulary_size=11, max_sequence_length=7, num_layers=2, num_heads=1, hidden_dim=32)


def weights(config):
    generator = np.random.default_rng(0)
    return {
        name: generator.normal(0, 1, shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


@pytest.mark.parametrize("tied", [True, False])
def test_all_large_matrices_become_integers_and_nothing_else(tied):
    config = CONFIG.replace(tie_word_embeddings=tied)
    stored = Blockwise(8).tensors(config, weights(config))
    integers = {name for name, array in stored.items() if array.dtype == np.uint8}
    assert len(integers) == 4 * config.num_layers + (1 if tied else 2)
    rest = stored.keys() - integers - {name.replace(".integers", ".scales") for name in integers}
    assert max(stored[name].ndim for name in rest - {"transformer.wpe.weight"}) == 1


def test_the_head_may_have_bits_of_its_own():
    stored = Blockwise(4, head_bits=8).tensors(CONFIG, weights(CONFIG))
    assert stored[f"{TOKENS}.integers"].shape == (11, 1, 32)
    assert stored["transformer.h.0.mlp.c_fc.weight.integers"].shape == (128, 1, 16)


def test_a_matrix_whose_inputs_are_known_is_rounded_by_them():
    given, name = weights(CONFIG), "transformer.h.0.mlp.c_fc.weight"
    inputs = np.random.default_rng(3).standard_normal((500, 32)) @ np.triu(np.ones((32, 32)))
    nearest = Blockwise(4).quantized(CONFIG, given)
    by_inputs = Blockwise(4).quantized(CONFIG, given, {name: inputs.T @ inputs})

    def loss(matrices):
        return np.square(inputs @ (matrices[name].dequantized().T - given[name])).sum()

    assert loss(by_inputs) < 0.8 * loss(nearest)
    assert all(np.array_equal(by_inputs[key].packed, nearest[key].packed) for key in nearest if key != name)


def test_some_of_the_matrices_alone():
    given = weights(CONFIG)
    found = Blockwise(8).quantized(CONFIG, given, read_by=["transformer.h.1.attn.c_proj.weight", TOKENS])
    assert set(found) == {"transformer.h.1.attn.c_proj.weight", TOKENS}
