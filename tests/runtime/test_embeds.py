"""The session over the graph that reads vectors: ids and their vectors are the same to it."""

import numpy as np
import pytest

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export.embeds_graph import write_embeds
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.protocols import EmbeddingStepModel
from kerasgpt.runtime import session
from kerasgpt.runtime.language_model import open_step_model

IDS, LENGTHS = np.array([[3, 1, 4, 1], [5, 9, 0, 0]]), np.array([4, 2])


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def folder(request, tmp_path_factory):
    config = GPT2Config(11, 12, 2, 2, 8, tie_word_embeddings=request.param)
    generator = np.random.default_rng(0)
    shapes = weight_shapes(config).items()
    weights = {name: generator.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes}
    root = tmp_path_factory.mktemp("embeds")
    write_embeds(config, weights, root)
    write_onnx(config, weights, root / artifacts.ONNX_MODEL)
    return root


@pytest.fixture
def engines(folder):
    names = (artifacts.ONNX_EMBEDS, artifacts.ONNX_MODEL)
    return [open_step_model(folder / name, max_sequence_length=12) for name in names]


def test_ids_are_read_as_by_the_graph_of_ids(engines):
    ours, theirs = engines
    assert isinstance(ours, EmbeddingStepModel)
    assert not isinstance(theirs, EmbeddingStepModel)
    (state, logits), (other, expected) = (engine.prefill(IDS, LENGTHS) for engine in engines)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    for ids in ([7, 2], [6, 10]):
        state, logits = ours.step(state, np.array(ids))
        other, expected = theirs.step(other, np.array(ids))
        np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(
        ours.all_logits(IDS, LENGTHS)[0], theirs.all_logits(IDS, LENGTHS)[0], atol=1e-5
    )


def test_the_vectors_of_ids_are_read_as_those_ids(engines):
    ours, _ = engines
    vectors = ours.embed(IDS)
    assert vectors.shape == (2, 4, 8)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(ours.all_logits(vectors, LENGTHS), ours.all_logits(IDS, LENGTHS))
    np.testing.assert_array_equal(ours.prefill(vectors, LENGTHS)[1], ours.prefill(IDS, LENGTHS)[1])
    (state, _), (other, _) = (ours.prefill(reads[:1], LENGTHS[:1]) for reads in (vectors, IDS))
    np.testing.assert_array_equal(ours.extend(state, vectors[1:, :3])[1], ours.extend(other, IDS[1:, :3])[1])
    moved = ours.all_logits(1.5 * vectors, LENGTHS)
    assert np.abs(moved - ours.all_logits(IDS, LENGTHS)).max() > 0.01


def test_vectors_are_read_in_pieces_too(engines, monkeypatch):
    ours, _ = engines
    whole = ours.prefill(ours.embed(IDS), LENGTHS)[1]
    monkeypatch.setattr(session, "PREFILL_BUDGET", 1)
    np.testing.assert_allclose(ours.prefill(ours.embed(IDS), LENGTHS)[1], whole, atol=1e-6)


def test_vectors_of_another_width_are_a_sentence(engines):
    with pytest.raises(
        UsageError, match=r"vectors of shape \(1, 2, 5\): the model reads \(batch, tokens, 8\)"
    ):
        engines[0].all_logits(np.zeros((1, 2, 5), np.float32), np.array([2]))


def test_another_models_table_is_a_sentence(folder, tmp_path):
    config = GPT2Config(11, 12, 1, 2, 4)
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(config).items()}
    write_embeds(config, weights, tmp_path)
    for name in (artifacts.ONNX_EMBEDS, f"{artifacts.ONNX_EMBEDS}_data"):
        (tmp_path / "mixed").mkdir(exist_ok=True)
        (tmp_path / "mixed" / name.removeprefix("onnx/")).write_bytes((folder / name).read_bytes())
    for path in (tmp_path / "onnx").iterdir():
        if path.name[-18:] != "inputs_embeds.onnx":
            target = tmp_path / "mixed" / path.name
            target.exists() or target.write_bytes(path.read_bytes())
    with pytest.raises(KerasGPTError, match="export the model again"):
        open_step_model(tmp_path / "mixed" / "model_inputs_embeds.onnx", max_sequence_length=12)
