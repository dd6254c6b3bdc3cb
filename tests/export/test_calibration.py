from pathlib import Path

import numpy as np
import pytest

from kerasgpt import GPT2Config, Tokenizer
from kerasgpt.export import calibration
from kerasgpt.export.calibration import calibration_ids, observations
from kerasgpt.export.kernels import TOKENS, matrix_shapes
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.runtime.language_model import open_step_model

CONFIG = GPT2Config(vocabulary_size=300, max_sequence_length=24, num_layers=2, num_heads=2, hidden_dim=16)
IDS = np.random.default_rng(1).integers(0, 300, (5, 9))


@pytest.fixture(scope="module")
def weights():
    generator = np.random.default_rng(0)
    return {
        name: generator.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in weight_shapes(CONFIG).items()
    }


@pytest.fixture(scope="module")
def lm(weights, shakespeare: str, tmp_path_factory: pytest.TempPathFactory) -> StepLanguageModel:
    path = tmp_path_factory.mktemp("calibration") / "model.onnx"
    write_onnx(CONFIG, weights, path)
    model = open_step_model(path, max_sequence_length=CONFIG.max_sequence_length)
    return StepLanguageModel(model, Tokenizer.learn([shakespeare], 300))


def layer_norm(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5) * weight + bias


def test_what_the_first_matrix_reads_is_the_normed_embeddings(weights):
    (found,) = observations(CONFIG, weights, IDS)
    inputs = layer_norm(
        weights[TOKENS][IDS] + weights["transformer.wpe.weight"][: IDS.shape[1]],
        weights["transformer.h.0.ln_1.weight"],
        weights["transformer.h.0.ln_1.bias"],
    ).reshape(-1, 16)
    seen = found["transformer.h.0.attn.c_attn.weight"]
    np.testing.assert_allclose(seen.products, inputs.T @ inputs, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(seen.range.lowest, inputs.min(0), atol=1e-4)
    np.testing.assert_allclose(seen.range.highest, inputs.max(0), atol=1e-4)


def test_every_matrix_is_observed_in_groups_as_large_as_the_budget(weights, monkeypatch):
    (whole,) = observations(CONFIG, weights, IDS)
    monkeypatch.setattr(calibration, "PRODUCTS_BUDGET", 8 * 64**2)
    groups = list(observations(CONFIG, weights, IDS))
    assert len(groups) > 2
    parts = {name: inputs for group in groups for name, inputs in group.items()}
    assert list(parts) == list(matrix_shapes(CONFIG))
    for name, inputs in parts.items():
        assert inputs.products.shape == (matrix_shapes(CONFIG)[name][0],) * 2
        np.testing.assert_allclose(inputs.products, whole[name].products, rtol=1e-5, atol=1e-4)


def test_ranges_alone_hold_no_products(weights, monkeypatch):
    monkeypatch.setattr(calibration, "PRODUCTS_BUDGET", 0)
    (found,) = observations(CONFIG, weights, IDS, with_products=False)
    assert all(inputs.products.size == 0 for inputs in found.values())
    assert all((inputs.range.lowest < inputs.range.highest).all() for inputs in found.values())


def test_rows_of_a_text_come_from_all_over_it(lm, shakespeare: str):
    ids = calibration_ids(lm, shakespeare)
    whole = lm.tokenizer.encode(shakespeare)
    assert ids.shape == (min(8192 // 24, len(whole) // 24), 24)
    assert ids[0].tolist() == whole[:24]
    assert ids[-1].tolist() == whole[-24:]
    assert calibration_ids(lm, "Speak.").tolist() == [lm.tokenizer.encode("Speak.")]


def test_lines_that_part_documents_are_ends_of_text(lm):
    ids = calibration_ids(lm, "One.\n<|endoftext|>\nTwo.\n<|endoftext|>\n")
    end, encode = lm.tokenizer.end_of_text_id, lm.tokenizer.encode
    assert ids.tolist() == [[*encode("One."), end, *encode("Two."), end]]


def test_without_a_text_the_model_writes_one_and_always_the_same(lm, monkeypatch):
    monkeypatch.setattr(calibration, "NUM_TOKENS", 24 * 6)
    ids = calibration_ids(lm)
    assert ids.shape == (6, 24)
    assert ids[0, 0] == lm.tokenizer.end_of_text_id
    assert len({tuple(row) for row in ids.tolist()}) == 6
    np.testing.assert_array_equal(calibration_ids(lm), ids)


def test_scratch_files_are_removed(weights, monkeypatch, tmp_path: Path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    list(observations(CONFIG, weights, IDS))
    assert not any(tmp_path.iterdir())
