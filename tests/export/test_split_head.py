"""The head in two parts answers as its integers say, in the fast graph and in the portable one."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.export.folding import with_zero_shifts, without_means
from kerasgpt.export.fused_graph import write_fused
from kerasgpt.export.kernels import TOKENS
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.export.portable_kernels import PortableSplitHead
from kerasgpt.export.split_head import FREQUENT, RARE, SplitHead, num_frequent
from kerasgpt.runtime.language_model import open_step_model

CONFIG = GPT2Config(vocabulary_size=131, max_sequence_length=16, num_layers=2, num_heads=1, hidden_dim=64)
IDS = np.random.default_rng(2).integers(0, 131, (3, 12))
LENGTHS = np.array([12, 3, 7])


def random_weights(config: GPT2Config) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = weight_shapes(config).items()
    return {name: generator.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes}


def read(path: Path) -> np.ndarray:
    model = open_step_model(path, max_sequence_length=CONFIG.max_sequence_length)
    return model.all_logits(IDS, LENGTHS)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("form", ["fused", "portable"])
def test_it_answers_as_its_integers_say(form: str, tied: bool, tmp_path: Path) -> None:
    config = CONFIG.replace(tie_word_embeddings=tied)
    weights = random_weights(config)
    folded = without_means(config, weights)
    kind = SplitHead if form == "fused" else PortableSplitHead
    matrices = SplitHead().quantized(config, folded)
    kernels = kind(4, head_bits=8, accuracy_level=0, matrices=matrices)
    twin = config.replace(tie_word_embeddings=False)
    if form == "fused":
        write_fused(config, weights, tmp_path / "model.onnx", kernels)
        twin_weights = {"lm_head.weight": weights[TOKENS], **weights}
        write_fused(twin, twin_weights, tmp_path / "exact.onnx", kernels.exact(config))
    else:
        portable = with_zero_shifts(config, folded)
        write_onnx(config, portable, tmp_path / "model.onnx", kernels=kernels)
        twin_weights = {"lm_head.weight": weights[TOKENS], **portable}
        write_onnx(twin, twin_weights, tmp_path / "exact.onnx", kernels=kernels.exact(config))
    found, expected = read(tmp_path / "model.onnx"), read(tmp_path / "exact.onnx")
    counted = np.arange(12) < LENGTHS[:, None]
    np.testing.assert_allclose(found[counted], expected[counted], atol=2e-4 * expected[counted].std())
    operators = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert operators.count("MatMulNBits") == 4 * config.num_layers + 2


@pytest.mark.parametrize("tied", [True, False])
def test_frequent_ids_have_eight_bits_and_are_stored_once(tied: bool) -> None:
    config = CONFIG.replace(tie_word_embeddings=tied)
    count = num_frequent(config)
    stored = SplitHead().tensors(config, random_weights(config))
    assert count == 33
    assert stored[f"{TOKENS}.integers"].shape == (131, 1, 64)
    assert stored[f"{RARE}.integers"].shape == (131 - count, 1, 32)
    assert (f"{FREQUENT}.integers" in stored) is not tied
    assert not {TOKENS, "lm_head.weight"} & stored.keys()


def test_frequent_logits_are_nearer_than_rare_ones(tmp_path: Path) -> None:
    weights = random_weights(CONFIG)
    table, count = weights[TOKENS], num_frequent(CONFIG)
    matrices = SplitHead().quantized(CONFIG, weights)
    head = SplitHead(matrices=matrices).rounded(CONFIG)["lm_head.weight"]
    error = np.square(head - table).mean(axis=1)
    assert error[:count].mean() < 0.02 * error[count:].mean()


def test_what_the_head_reads_rounds_its_rare_part_alone() -> None:
    weights = random_weights(CONFIG)
    inputs = np.random.default_rng(5).standard_normal((400, 64)) @ np.triu(np.ones((64, 64)))
    nearest = SplitHead().quantized(CONFIG, weights)
    found = SplitHead().quantized(CONFIG, weights, {TOKENS: inputs.T @ inputs}, read_by=[TOKENS])
    assert set(found) == {TOKENS, RARE}
    np.testing.assert_array_equal(found[TOKENS].packed, nearest[TOKENS].packed)
    rare = weights[TOKENS][num_frequent(CONFIG) :]

    def loss(matrices):
        return np.square(inputs @ (matrices[RARE].dequantized() - rare).T).sum()

    assert loss(found) < 0.8 * loss(nearest)
