"""Integer products with steps chosen at export: exact to their own rounding, alone and among others."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.export.calibration import observations
from kerasgpt.export.folding import with_zero_shifts, without_means
from kerasgpt.export.fused_graph import write_fused
from kerasgpt.export.kernels import TABLES, Float32, matrix_shapes
from kerasgpt.export.smoothing import Range, smoothed
from kerasgpt.export.static_int8 import MARGIN, Projection, StaticInt8
from kerasgpt.runtime.fused import FusedStepModel
from kerasgpt.runtime.language_model import open_step_model

CONFIG = GPT2Config(vocabulary_size=131, max_sequence_length=24, num_layers=3, num_heads=2, hidden_dim=64)
IDS = np.random.default_rng(2).integers(0, 131, (4, 20))
LENGTHS = np.full(4, 20)


@pytest.fixture(scope="module")
def weights(random_weights) -> dict[str, np.ndarray]:
    return random_weights(CONFIG, 0.1, 1.0)


@pytest.fixture(scope="module")
def kernels(weights) -> StaticInt8:
    folded = without_means(CONFIG, weights)
    ids = np.random.default_rng(7).integers(0, 131, (40, 24))
    (seen,) = observations(CONFIG, with_zero_shifts(CONFIG, folded), ids, with_products=False)
    ranges = {name: inputs.range for name, inputs in seen.items() if name not in TABLES}
    return StaticInt8.calibrated(CONFIG, folded, ranges)


@pytest.fixture(scope="module")
def model(weights, kernels, tmp_path_factory) -> FusedStepModel:
    return opened(tmp_path_factory.mktemp("static") / "model.onnx", weights, kernels)


def opened(path: Path, weights, kernels) -> FusedStepModel:
    write_fused(CONFIG, weights, path, kernels)
    return open_step_model(path, max_sequence_length=CONFIG.max_sequence_length)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.square(found - expected).mean()) / expected.std())


def test_it_answers_as_its_rounded_weights_and_inputs_do(model, kernels, weights, tmp_path) -> None:
    exact = opened(tmp_path / "exact.onnx", weights, kernels.exact(CONFIG))
    found, expected = model.all_logits(IDS, LENGTHS), exact.all_logits(IDS, LENGTHS)
    # What is left is the head's own inputs, which are rounded in blocks.
    assert relative_error(found, expected) < 0.01


def test_its_rounding_costs_little(model, weights, tmp_path) -> None:
    plain = opened(tmp_path / "plain.onnx", weights, Float32())
    assert 0.001 < relative_error(model.all_logits(IDS, LENGTHS), plain.all_logits(IDS, LENGTHS)) < 0.04


def test_smoothing_alone_changes_no_answer(weights, tmp_path) -> None:
    plain = opened(tmp_path / "plain.onnx", weights, Float32()).all_logits(IDS, LENGTHS)
    folded = without_means(CONFIG, weights)
    widths = {name: size for name, (size, _) in matrix_shapes(CONFIG).items() if name not in TABLES}
    generator = np.random.default_rng(3)
    ranges = {name: Range(*np.sort(generator.normal(size=(2, size)), 0)) for name, size in widths.items()}
    moved = StaticInt8.calibrated(CONFIG, folded, ranges).others
    smooth, _ = smoothed(CONFIG, folded, ranges)
    assert np.abs(moved["transformer.h.0.ln_1.weight"] - folded["transformer.h.0.ln_1.weight"]).max() > 0.01
    found = opened(tmp_path / "smooth.onnx", weights, Float32(rounded=smooth)).all_logits(IDS, LENGTHS)
    np.testing.assert_allclose(found, plain, atol=1e-4 * plain.std())


def test_a_token_alone_and_among_others_is_rounded_alike(model) -> None:
    whole = model.all_logits(IDS, LENGTHS)
    prompt = IDS[:1, :12]
    state, _ = model.prefill(prompt, np.array([12]))
    stepped = []
    for index in IDS[0, 12:]:
        state, logits = model.step(state, np.array([index]))
        stepped.append(logits[0])
    state, _ = model.prefill(prompt, np.array([12]))
    _, together = model.extend(state, IDS[:1, 12:])
    # Attention and norms are in float32 and may turn the last bit, and with it a rounding, here and there.
    assert relative_error(np.stack(stepped), whole[0, 12:]) < 0.01
    assert relative_error(together[0], whole[0, 12:]) < 0.01


def test_inputs_beyond_the_range_are_cut_off_and_zero_stays_zero() -> None:
    matrix = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    found = Projection.of(matrix, Range(np.full(6, -0.2, np.float32), np.full(6, 3.0, np.float32)))
    steps = np.clip(np.rint(np.array([-9, -0.2, 0, 3, 9]) / found.input_scale) + found.input_zero, 0, 255)
    values = (steps - found.input_zero) * found.input_scale
    assert values[2] == 0
    np.testing.assert_allclose(values, [-0.2 * MARGIN, -0.2, 0, 3, 3 * MARGIN], atol=found.input_scale)
    np.testing.assert_allclose(found.integers * found.scales, matrix, atol=found.scales.max() / 2 + 1e-6)


def test_a_column_or_range_of_zeros_divides_by_nothing() -> None:
    matrix = np.zeros((3, 2), np.float32)
    found = Projection.of(matrix, Range(np.zeros(3, np.float32), np.zeros(3, np.float32)))
    assert np.isfinite(found.scales).all()
    assert found.input_scale > 0
    assert not found.integers.any()


def test_the_graph_is_small_and_stores_each_weight_once(model, weights, kernels, tmp_path) -> None:
    write_fused(CONFIG, weights, tmp_path / "model.onnx", kernels)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert len(graph.node) <= 12 * CONFIG.num_layers + 20
    layer = [node.op_type for node in graph.node if node.name.startswith("h.1/")]
    assert len(layer) == 12
    assert layer.count("MatMulIntegerToFloat") == 4
    read = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= read
    assert (tmp_path / "model.onnx").stat().st_size < 1.2 * CONFIG.num_parameters + 40_000
