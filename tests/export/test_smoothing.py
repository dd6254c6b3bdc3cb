import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.export.folding import without_means
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.export.smoothing import Range, smoothed

CONFIG = GPT2Config(vocabulary_size=11, max_sequence_length=7, num_layers=2, num_heads=2, hidden_dim=8)
READERS = {"attn.c_attn": 8, "attn.c_proj": 8, "mlp.c_fc": 8, "mlp.c_proj": 32}
GENERATOR = np.random.default_rng(0)


@pytest.fixture
def weights():
    raw = {
        name: GENERATOR.normal(1, 0.5, shape).astype(np.float32)
        for name, shape in weight_shapes(CONFIG).items()
    }
    return without_means(CONFIG, raw)


@pytest.fixture
def ranges():
    def one(size):
        width = np.exp(GENERATOR.normal(size=size)).astype(np.float32)
        return Range(-width, 2 * width)

    return {
        f"transformer.h.{layer}.{part}.weight": one(size)
        for layer in range(CONFIG.num_layers)
        for part, size in READERS.items()
    }


def test_a_norm_and_what_reads_it_answer_the_same(weights, ranges):
    changed, _ = smoothed(CONFIG, weights, ranges)
    normed = GENERATOR.normal(size=(5, 8))
    for norm, reader, columns in (("ln_1", "attn.c_attn", slice(0, 16)), ("ln_2", "mlp.c_fc", slice(None))):
        scale, matrix = f"transformer.h.1.{norm}.weight", f"transformer.h.1.{reader}.weight"
        before = (normed * weights[scale]) @ weights[matrix]
        after = (normed * changed[scale]) @ changed[matrix]
        np.testing.assert_allclose(after[:, columns], before[:, columns], rtol=1e-4, atol=1e-5)


def test_values_and_what_reads_them_answer_the_same(weights, ranges):
    changed, _ = smoothed(CONFIG, weights, ranges)

    def answer(given):
        normed = np.linspace(-1, 1, 40).reshape(5, 8) * given["transformer.h.0.ln_1.weight"]
        prefix = "transformer.h.0.attn"
        fused = normed @ given[f"{prefix}.c_attn.weight"] + given[f"{prefix}.c_attn.bias"]
        mixed = np.full((5, 5), 0.2) @ fused[:, 16:]  # of the values; queries and keys only say how much
        return fused[:, :16], mixed @ given[f"{prefix}.c_proj.weight"]

    for after, before in zip(answer(changed), answer(weights), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def test_the_inputs_of_a_matrix_come_closer_to_each_other(weights, ranges):
    _, seen = smoothed(CONFIG, weights, ranges)

    def spread(found):
        sizes = np.maximum(-found.lowest, found.highest)
        return sizes.max() / sizes.min()

    for name, found in ranges.items():
        if "mlp.c_proj" in name:
            assert seen[name] is found
        else:
            assert spread(seen[name]) < 0.8 * spread(found)
            np.testing.assert_allclose(seen[name].highest / seen[name].lowest, -2, rtol=1e-5)


def test_inputs_that_never_came_do_no_harm(weights, ranges):
    zeros = {name: Range(found.lowest * 0, found.highest * 0) for name, found in ranges.items()}
    changed, _ = smoothed(CONFIG, weights, zeros)
    assert all(np.isfinite(array).all() for array in changed.values())
