"""The graph that reads vectors: one file of weights for both graphs, and a proof that bites."""

import numpy as np
import onnx
import onnxruntime
import pytest

from kerasgpt import artifacts
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export import variants
from kerasgpt.export.embeds_graph import write_embeds
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.parity import compare_step_model
from kerasgpt.export.pipeline import export_bundle
from kerasgpt.runtime.language_model import open_step_model


@pytest.fixture
def folder(model, tmp_path):
    write_embeds(model.config, named_arrays(model), tmp_path)
    return tmp_path


def test_it_passes_the_proof_of_every_export(folder, recorded, language_model):
    engine = open_step_model(folder / artifacts.ONNX_EMBEDS, max_sequence_length=128)
    parity = compare_step_model(language_model(engine), *recorded)
    assert parity.holds
    assert parity.max_logit_error < 1e-4
    assert parity.max_cached_logit_error < 1e-4
    assert parity.num_tokens_compared == 2 * 5 * 8


def test_an_altered_table_of_tokens_fails_it(model, tmp_path, recorded, language_model):
    arrays = dict(named_arrays(model))
    arrays["transformer.wte.weight"] = arrays["transformer.wte.weight"].copy()
    arrays["transformer.wte.weight"][200] *= 1.05  # of a token that may never be among the best
    write_embeds(model.config, arrays, tmp_path)
    engine = open_step_model(tmp_path / artifacts.ONNX_EMBEDS, max_sequence_length=128)
    assert not compare_step_model(language_model(engine), *recorded).holds


def test_the_two_graphs_by_themselves_answer_as_keras_does(folder, model):
    """By onnxruntime alone, with vectors that are no tokens'."""
    vectors = np.random.default_rng(0).normal(0, 0.5, (2, 5, 16)).astype(np.float32)
    session = onnxruntime.InferenceSession(folder / artifacts.ONNX_EMBEDS)
    empty = {
        artifacts.past_name(layer, part): np.zeros((2, 2, 0, 8), np.float32)
        for layer in range(2)
        for part in ("key", "value")
    }
    positions = np.broadcast_to(np.arange(5), (2, 5))
    feeds = {"attention_mask": np.ones((2, 5), np.int64), "position_ids": positions, **empty}
    (logits, *_) = session.run(None, {artifacts.INPUTS_EMBEDS: vectors, **feeds})
    np.testing.assert_allclose(logits, model(inputs_embeds=vectors), atol=1e-4)
    ids = np.array([[3, 1, 279]])
    look_up = onnxruntime.InferenceSession(folder / artifacts.EMBED_TOKENS)
    (found,) = look_up.run(None, {"input_ids": ids})
    np.testing.assert_array_equal(found, named_arrays(model)["transformer.wte.weight"][ids])


def test_the_table_is_on_the_disk_once(folder, model):
    names = [artifacts.ONNX_EMBEDS, artifacts.EMBED_TOKENS]
    onnx.checker.check_model(folder / artifacts.ONNX_EMBEDS, full_check=True)
    onnx.checker.check_model(folder / artifacts.EMBED_TOKENS, full_check=True)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {*names, f"{artifacts.ONNX_EMBEDS}_data"}
    assert (folder / artifacts.EMBED_TOKENS).stat().st_size < 1000


def test_the_shared_graph_with_ids_is_as_it_was_without_the_new_input(model, tmp_path):
    write_onnx(model.config, named_arrays(model), tmp_path / "model.onnx")
    names = [value.name for value in onnx.load(tmp_path / "model.onnx").graph.input]
    assert names[:3] == ["input_ids", "attention_mask", "position_ids"]
    assert artifacts.INPUTS_EMBEDS not in names


def test_it_is_written_only_where_it_is_asked_for(model):
    assert variants.EMBEDS not in variants.chosen(model.config, ["fp32", "int8"])[0]
    assert variants.chosen(model.config, ["int4"], True)[0][-1] == variants.EMBEDS


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"formats": ("saved_model",), "inputs_embeds": True}, "writes an ONNX file, and"),
        ({"formats": ("onnx",), "writer": "tf2onnx", "inputs_embeds": True}, "take the writer direct"),
        ({"formats": ("onnx",), "xla": True}, "xla: is of the SavedModel"),
        ({"formats": ("saved_model",), "soft_prompt": np.ones((2, 16))}, "is exported as onnx in fp32"),
        ({"soft_prompt": np.ones((2, 16))}, "is exported as onnx in fp32"),
        (
            {"formats": ("onnx",), "precisions": ("fp32", "int8"), "soft_prompt": np.ones((2, 16))},
            "as onnx in fp32",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(options, sentence, model, tokenizer, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        export_bundle(model, tokenizer, tmp_path / "bundle", **options)
    assert not (tmp_path / "bundle").exists()


def test_half_a_pair_is_a_sentence(folder):
    (folder / artifacts.EMBED_TOKENS).unlink()
    with pytest.raises(KerasGPTError, match=r"embed_tokens.onnx: no such file"):
        open_step_model(folder / artifacts.ONNX_EMBEDS, max_sequence_length=128)
