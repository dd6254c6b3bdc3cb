"""Norms tuned after rounding bring a model's answers nearer, and nothing else of it changes."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.export.folding import with_zero_shifts, without_means
from kerasgpt.export.kernels import TOKENS, Standard
from kerasgpt.export.norm_tuning import divergence, tuned_norms
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.export.split_head import SplitHead
from kerasgpt.generation.probabilities import log_softmax
from kerasgpt.runtime.language_model import open_step_model

CONFIG = GPT2Config(vocabulary_size=131, max_sequence_length=32, num_layers=2, num_heads=2, hidden_dim=32)
IDS = np.random.default_rng(2).integers(0, 131, (128, 32))
LENGTHS = np.full(len(IDS), 32)
NORMS = {name for name in weight_shapes(CONFIG) if ".ln_" in name and name.endswith("weight")}


@pytest.fixture(scope="module")
def weights(random_weights) -> dict[str, np.ndarray]:
    return with_zero_shifts(CONFIG, without_means(CONFIG, random_weights(CONFIG, 0.15, 0.7)))


def opened(path: Path, config: GPT2Config, weights, rounded):
    write_onnx(config, weights, path, kernels=Standard(rounded=rounded))
    return open_step_model(path, max_sequence_length=config.max_sequence_length)


@pytest.fixture(scope="module")
def exact(weights, tmp_path_factory):
    return opened(tmp_path_factory.mktemp("exact") / "model.onnx", CONFIG, weights, {})


def test_the_answers_come_nearer(weights, exact, tmp_path) -> None:
    rounded = SplitHead(matrices=SplitHead().quantized(CONFIG, weights)).rounded(CONFIG)
    found = tuned_norms(CONFIG, weights, rounded, exact, IDS[:112])
    assert found.keys() == NORMS
    untied = CONFIG.replace(tie_word_embeddings=False)
    whole = {"lm_head.weight": weights[TOKENS], **weights}
    unseen, wanted = IDS[112:], log_softmax(exact.all_logits(IDS[112:], LENGTHS[112:]))

    def distance(others) -> float:
        model = opened(tmp_path / "rounded.onnx", untied, whole, {**rounded, **others})
        answers = log_softmax(model.all_logits(unseen, LENGTHS[112:]))
        return float((np.exp(wanted) * (wanted - answers)).sum(-1).mean())

    assert distance(found) < 0.95 * distance({})


def test_where_nothing_is_rounded_nothing_changes(weights, exact) -> None:
    found = tuned_norms(CONFIG, weights, {}, exact, IDS[:32])
    for name in NORMS:
        np.testing.assert_array_equal(found[name], weights[name])


def test_the_divergence_is_that_of_keras() -> None:
    one, other = np.random.default_rng(0).normal(size=(2, 3, 4, 7)).astype(np.float32)
    softmax = keras.ops.softmax
    expected = keras.losses.kl_divergence(softmax(one), softmax(other))
    np.testing.assert_allclose(divergence(one, other), expected, atol=1e-6)
