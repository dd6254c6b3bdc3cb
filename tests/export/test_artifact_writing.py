"""Each artifact is proved as it is written: one that differs from the model is refused."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from kerasgpt import GPT2CausalLM, load
from kerasgpt.artifacts import ONNX_MODEL
from kerasgpt.checkpoints.mapping import assign_arrays, named_arrays
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export import artifact_writing, saved_model
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.in_graph import transformer


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

    def write(model, bundle):
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


def wrong_epsilon_in_onnx(model, bundle):
    config = model.config.replace(layer_norm_epsilon=1e-3)  # Keras's default, an easy mistake
    write_onnx(config, named_arrays(model), bundle / ONNX_MODEL)


def swapped_in_onnx(model, bundle):
    write_onnx(model.config, swap_keys_and_values(named_arrays(model)), bundle / ONNX_MODEL)


ONNX_FAULTS = {
    "epsilon": wrong_epsilon_in_onnx,
    "keys and values swapped": swapped_in_onnx,
    "sees the future": edited(see_the_future),
    "attention mask ignored": edited(ignore_the_mask),
    "positions ignored": edited(ignore_positions),
}


def written_of(change):
    """Write the SavedModel of another configuration or of other weights."""

    def alter(monkeypatch):
        right = saved_model.write_saved_model
        monkeypatch.setattr(
            saved_model,
            "write_saved_model",
            lambda config, weights, *rest, **options: right(*change(config, weights), *rest, **options),
        )

    return alter


def forget_positions(monkeypatch):
    right = transformer.GraphTransformer._embed
    monkeypatch.setattr(
        transformer.GraphTransformer, "_embed", lambda self, ids, positions: right(self, ids, 0 * positions)
    )


SAVED_MODEL_FAULTS = {
    "epsilon": written_of(lambda config, weights: (config.replace(layer_norm_epsilon=1e-3), weights)),
    "keys and values swapped": written_of(lambda config, weights: (config, swap_keys_and_values(weights))),
    "sees the future": lambda monkeypatch: monkeypatch.setattr(transformer, "_MASKED", 0.0),
    "positions ignored": forget_positions,
}


@pytest.mark.parametrize("fault", ONNX_FAULTS)
def test_a_wrong_onnx_graph_is_refused(export, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(artifact_writing, "_write_onnx", ONNX_FAULTS[fault])
    with pytest.raises(KerasGPTError, match="onnx/model.onnx: differs from the trained model, nothing was"):
        export("onnx", proved=["onnx"])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("fault", SAVED_MODEL_FAULTS)
def test_a_wrong_saved_model_is_refused(export, tmp_path, monkeypatch, fault):
    SAVED_MODEL_FAULTS[fault](monkeypatch)
    with pytest.raises(KerasGPTError, match="saved_model/1: differs from the trained model, nothing was"):
        export("saved_model", proved=["saved_model"])
    # TensorFlow keeps the source of a function of its own there until the process ends.
    assert [path.name for path in tmp_path.iterdir() if "autograph" not in path.name] == []


@pytest.mark.parametrize(
    ("engine", "precision", "end"),
    [("onnx", "fp32", "far off"), ("fast_int4", "int4", "far off; leave int4 out of the precisions")],
)
def test_what_a_precision_costs_too_much_says_how_to_do_without(monkeypatch, engine, precision, end):
    proof = SimpleNamespace(parity=SimpleNamespace(holds=False), precision=precision, sentence="far off")
    monkeypatch.setattr(artifact_writing, "prove", lambda *arguments: proof)
    with pytest.raises(KerasGPTError, match=f"nothing was exported: {end}$"):
        artifact_writing._proved(Path("bundle"), engine, None, print)


def test_weights_that_were_written_wrong_are_refused(export, tmp_path, monkeypatch):
    """The checkpoint is proved like every artifact."""
    right = artifact_writing._write_model_folder

    def write(model, tokenizer, settings, bundle):
        other = GPT2CausalLM(model.config)
        assign_arrays(other, swap_keys_and_values(named_arrays(model)), "memory")
        right(other, tokenizer, settings, bundle)

    monkeypatch.setattr(artifact_writing, "_write_model_folder", write)
    with pytest.raises(KerasGPTError, match="model.safetensors: differs from the trained model"):
        export("onnx", proved=["keras"])
    assert not any(tmp_path.iterdir())


def test_each_precision_of_a_saved_model_is_proved_against_its_rounded_weights(export, tmp_path):
    engines = ["saved_model", "saved_model_int8", "saved_model_fp32"]
    proofs = export("saved_model", proved=engines, precisions=["bf16", "int8", "fp32"])
    assert [(proof.engine, proof.precision) for proof in proofs[1:]] == list(
        zip(engines, ["bf16", "int8", "fp32"], strict=True)
    )
    for proof in proofs[1:]:
        assert proof.parity.max_logit_error < 1e-4
        assert proof.speed.tokens_per_second > 0
        assert proof.speed.load_seconds > 0
    rounded = np.load(tmp_path / "bundle" / "parity_saved_model_int8.npz")["top_logits"]
    trained = np.load(tmp_path / "bundle" / "parity.npz")["top_logits"]
    assert rounded.shape != trained.shape or not np.allclose(rounded, trained, atol=1e-4)
    texts = [
        load(tmp_path / "bundle", "saved_model", precision).generate(["hello"])[0].text
        for precision in (None, "bf16", "int8", "fp32")
    ]
    assert texts[0] == texts[1]
    with pytest.raises(UsageError, match="precision fp16: the saved_model engine has fp32, bf16, int8 only"):
        load(tmp_path / "bundle", "saved_model", "fp16")
