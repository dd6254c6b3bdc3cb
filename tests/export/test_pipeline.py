"""An export that differs from the model in any way is refused, and leaves nothing."""

import shutil

import keras
import numpy as np
import onnx
import pytest

from kerasgpt import GenerationConfig, GPT2CausalLM, export_bundle, load
from kerasgpt.artifacts import FAST_FP32, FORMATS, ONNX_MODEL, Manifest, read_generation_config
from kerasgpt.checkpoints.mapping import assign_arrays, named_arrays
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export import pipeline
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.models import gpt2

SETTINGS = GenerationConfig(max_new_tokens=8)


@pytest.fixture
def export(trained, tmp_path, monkeypatch, prove_only):
    """Export the small model into an empty place; only the named formats are really proved."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def call(*formats, proved=(), **options):
        monkeypatch.setattr(pipeline, "prove", prove_only(*proved))
        return export_bundle(*trained, tmp_path / "bundle", formats, generation_config=SETTINGS, **options)

    return call


def test_a_bundle_holds_what_it_says(bundle):
    manifest = Manifest.read(bundle)
    assert manifest.formats == ["saved_model", "onnx"]
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert files == {*manifest.files, "kerasgpt.json"}
    assert not manifest.damaged_files(bundle)
    assert read_generation_config(bundle).max_new_tokens == 12
    assert {"python", "keras", "onnxruntime"} <= set(manifest.provenance["versions"])


def test_what_is_exported_is_proved_and_reported(export, tmp_path):
    said = []
    proofs = export("onnx", proved=["onnx"], provenance={"run": "mine"}, tell=said.append)
    assert [proof.engine for proof in proofs] == ["keras", "onnx", "fast_fp32"]
    assert proofs[1].parity.holds
    assert proofs[1].parity.max_logit_error < 1e-4
    assert proofs[1].parity.max_cached_logit_error < 1e-4
    assert Manifest.read(tmp_path / "bundle").provenance["run"] == "mine"
    assert f"{ONNX_MODEL}: {proofs[1].sentence}" in said
    assert said[-1] == f"{FAST_FP32}: {proofs[2].sentence}"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def swap_keys_and_values(arrays):
    """Exchange K and V in every layer's fused projection."""
    swapped = dict(arrays)
    for name, array in arrays.items():
        if ".c_attn." in name:
            query, key, value = np.split(array, 3, axis=-1)
            swapped[name] = np.concatenate([query, value, key], axis=-1)
    return swapped


def edited(change):
    """A writer of ONNX whose graph is changed afterwards."""

    def write(model, tokenizer, settings, bundle):
        write_onnx(model.config, named_arrays(model), bundle / ONNX_MODEL)
        proto = onnx.load(bundle / ONNX_MODEL)
        change({node.op_type: node for node in proto.graph.node}, proto.graph.node)
        onnx.save(proto, bundle / ONNX_MODEL)

    return write


def see_the_future(nodes, _):
    columns = next(node for node in nodes.values() if node.op_type == "LessOrEqual").input[0]
    nodes["LessOrEqual"].input[1] = columns
    nodes["LessOrEqual"].op_type = "Equal"
    nodes["And"].op_type = "Or"


def ignore_the_mask(nodes, _):
    nodes["And"].input[1] = nodes["And"].input[0]


def ignore_positions(_, nodes):
    for node in nodes:
        if "transformer.wpe.weight" in node.input:
            node.input[1] = "zero"  # a constant of the graph


def wrong_epsilon_in_onnx(model, tokenizer, settings, bundle):
    config = model.config.replace(layer_norm_epsilon=1e-3)  # Keras's default, an easy mistake
    write_onnx(config, named_arrays(model), bundle / ONNX_MODEL)


def swapped_in_onnx(model, tokenizer, settings, bundle):
    write_onnx(model.config, swap_keys_and_values(named_arrays(model)), bundle / ONNX_MODEL)


ONNX_FAULTS = {
    "epsilon": wrong_epsilon_in_onnx,
    "keys and values swapped": swapped_in_onnx,
    "sees the future": edited(see_the_future),
    "attention mask ignored": edited(ignore_the_mask),
    "positions ignored": edited(ignore_positions),
}


def of_model(change, swap=False):
    """A writer of SavedModel that is given another model."""

    def write(model, tokenizer, settings, bundle):
        other = GPT2CausalLM(model.config.replace(**change))
        arrays = named_arrays(model)
        assign_arrays(other, swap_keys_and_values(arrays) if swap else arrays, "memory")
        pipeline._write_saved_model(other, tokenizer, settings, bundle)

    return write


def with_mask(mask):
    """A writer of SavedModel that traces the model under another attention mask."""

    def write(model, tokenizer, settings, bundle):
        other = GPT2CausalLM(model.config)
        assign_arrays(other, named_arrays(model), "memory")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gpt2, "attention_mask_of", mask)
            pipeline._write_saved_model(other, tokenizer, settings, bundle)

    return write


def all_visible(attention_mask, num_queries, num_keys, start):
    return keras.ops.ones((1, 1, num_queries, num_keys), dtype="bool")


RIGHT_MASK = gpt2.attention_mask_of


def unmasked(attention_mask, num_queries, num_keys, start):
    return RIGHT_MASK(None, num_queries, num_keys, start)


SAVED_MODEL_FAULTS = {
    "epsilon": of_model({"layer_norm_epsilon": 1e-3}),
    "keys and values swapped": of_model({}, swap=True),
    "sees the future": with_mask(all_visible),
    "attention mask ignored": with_mask(unmasked),
}


@pytest.mark.parametrize("fault", ONNX_FAULTS)
def test_a_wrong_onnx_graph_is_refused(export, tmp_path, monkeypatch, fault):
    monkeypatch.setitem(pipeline.WRITERS, "onnx", ONNX_FAULTS[fault])
    with pytest.raises(KerasGPTError, match="onnx/model.onnx: differs from the trained model, nothing was"):
        export("onnx", proved=["onnx"])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("fault", SAVED_MODEL_FAULTS)
def test_a_wrong_saved_model_is_refused(export, tmp_path, monkeypatch, fault):
    monkeypatch.setitem(pipeline.WRITERS, "saved_model", SAVED_MODEL_FAULTS[fault])
    with pytest.raises(KerasGPTError, match="saved_model/1: differs from the trained model, nothing was"):
        export("saved_model", proved=["saved_model"])
    assert not any(tmp_path.iterdir())


def test_weights_that_were_written_wrong_are_refused(export, tmp_path, monkeypatch):
    """The checkpoint is proved like every artifact."""
    right = pipeline._write_model_folder

    def write(model, tokenizer, settings, bundle):
        other = GPT2CausalLM(model.config)
        assign_arrays(other, swap_keys_and_values(named_arrays(model)), "memory")
        right(other, tokenizer, settings, bundle)

    monkeypatch.setattr(pipeline, "_write_model_folder", write)
    with pytest.raises(KerasGPTError, match="model.safetensors: differs from the trained model"):
        export("onnx", proved=["keras"])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
def test_a_failed_export_keeps_the_bundle_that_was_there(export, tmp_path, monkeypatch, failure):
    export("onnx")
    before = Manifest.read(tmp_path / "bundle")

    def fail(model, tokenizer, settings, bundle):
        (bundle / "onnx").mkdir()
        (bundle / ONNX_MODEL).write_bytes(b"half")
        raise failure

    monkeypatch.setitem(pipeline.WRITERS, "onnx", fail)
    with pytest.raises((KeyboardInterrupt, MemoryError, KerasGPTError)):
        export("onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert Manifest.read(tmp_path / "bundle") == before
    assert not before.damaged_files(tmp_path / "bundle")


def test_a_new_export_replaces_the_old_as_a_whole(export, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle")
    export("onnx")
    assert not (tmp_path / "bundle" / FORMATS["saved_model"]).exists()
    assert Manifest.read(tmp_path / "bundle").formats == ["onnx"]
    assert load(tmp_path / "bundle").generate(["The"], SETTINGS)[0].token_ids


@pytest.mark.parametrize("formats", [("onx",), (), ("onnx", "gguf")])
def test_wrong_requests_are_refused_before_anything_is_written(export, tmp_path, formats):
    with pytest.raises(UsageError):
        export(*formats)
    assert not any(tmp_path.iterdir())
