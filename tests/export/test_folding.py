import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.export.folding import with_zero_shifts, without_means
from kerasgpt.export.onnx_weights import weight_shapes

CONFIG = GPT2Config(vocabulary_size=11, max_sequence_length=7, num_layers=2, num_heads=2, hidden_dim=8)


@pytest.fixture
def weights():
    generator = np.random.default_rng(0)
    return {
        name: generator.normal(1, 0.5, shape).astype(np.float32)
        for name, shape in weight_shapes(CONFIG).items()
    }


def test_whatever_is_written_to_the_stream_has_mean_zero(weights):
    folded = without_means(CONFIG, weights)
    for name in ("attn.c_proj", "mlp.c_proj"):
        prefix = f"transformer.h.1.{name}"
        inner = np.random.default_rng(2).normal(size=(5, len(folded[f"{prefix}.weight"])))
        update = inner @ folded[f"{prefix}.weight"] + folded[f"{prefix}.bias"]
        before = inner @ weights[f"{prefix}.weight"] + weights[f"{prefix}.bias"]
        np.testing.assert_allclose(update, before - before.mean(-1, keepdims=True), atol=1e-5)
    assert np.abs(folded["transformer.wpe.weight"].mean(-1)).max() < 1e-6


def test_a_norm_and_what_reads_it_answer_the_same_without_the_norms_bias(weights):
    folded = without_means(CONFIG, weights)
    normed = np.random.default_rng(1).normal(size=(5, 8))
    for norm, reader in (("ln_1", "attn.c_attn"), ("ln_2", "mlp.c_fc")):
        prefix = "transformer.h.0"
        weight, bias = (f"{prefix}.{reader}.{part}" for part in ("weight", "bias"))
        before = (normed + weights[f"{prefix}.{norm}.bias"]) @ weights[weight] + weights[bias]
        np.testing.assert_allclose(normed @ folded[weight] + folded[bias], before, atol=1e-5)
        assert f"{prefix}.{norm}.bias" not in folded


def test_the_weights_given_are_not_changed(weights):
    before = {name: array.copy() for name, array in weights.items()}
    without_means(CONFIG, weights)
    for name, array in before.items():
        np.testing.assert_array_equal(weights[name], array)


def test_zeros_stand_where_a_graph_wants_the_biases_that_are_gone(weights):
    whole = with_zero_shifts(CONFIG, without_means(CONFIG, weights))
    assert {name: array.shape for name, array in whole.items()} == weight_shapes(CONFIG)
    assert not whole["transformer.h.1.ln_2.bias"].any()
    assert whole["transformer.ln_f.bias"].any()
