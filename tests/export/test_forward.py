"""A user's own Keras model through tf2onnx, and tf2onnx as a second opinion on the direct writer."""

import json
import shutil

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from kerasgpt import GPT2CausalLM, GPT2Config, LSTMCausalLM, export_bundle, load
from kerasgpt.artifacts import ONNX_MODEL, REPORT_MARKDOWN
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export import forward
from kerasgpt.export.forward import write_forward
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.proof import prove
from kerasgpt.export.verification import verify
from kerasgpt.manifest import Manifest
from kerasgpt.recurrent_config import RecurrentConfig
from kerasgpt.runtime.session import OnnxStepModel


class Modified(GPT2CausalLM):
    """A GPT-2 with one layer more: a gate on the hidden states."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.gate = keras.layers.Dense(config.hidden_dim, activation="tanh", name="gate")

    def build(self, input_shape=None):
        self.gate.build((None, None, self.config.hidden_dim))
        super().build()

    def call(self, token_ids, training=None):
        hidden = self.backbone(token_ids, training=training)
        return self.head(hidden + self.gate(hidden))


@pytest.fixture(scope="module")
def modified(tokenizer):
    keras.utils.set_random_seed(0)
    sizes = {"max_sequence_length": 64, "num_layers": 2, "num_heads": 2, "hidden_dim": 16}
    model = Modified(GPT2Config(tokenizer.vocabulary_size, initializer_range=0.5, **sizes))
    model.build()
    return model


@pytest.fixture(scope="module")
def own_bundle(modified, tokenizer, tmp_path_factory):
    """That model as a bundle, written by tf2onnx."""
    folder = tmp_path_factory.mktemp("own") / "bundle"
    (proof,) = export_bundle(modified, tokenizer, folder, ("onnx",), writer="tf2onnx")
    assert proof.parity.holds
    assert proof.parity.max_logit_error <= 1e-4
    assert proof.sentence.endswith("the forward pass alone")
    return folder


def test_the_file_gives_the_models_logits(own_bundle, modified):
    session = onnxruntime.InferenceSession(own_bundle / ONNX_MODEL)
    (ids,), (logits,) = session.get_inputs(), session.get_outputs()
    assert (ids.name, ids.shape) == ("input_ids", ["batch_size", "sequence_length"])
    assert (logits.name, logits.shape) == ("logits", ["batch_size", "sequence_length", 280])
    for shape in ((1, 1), (3, 7), (2, 64)):
        given = np.random.default_rng(0).integers(0, 280, shape)
        found = session.run(None, {"input_ids": given})[0]
        np.testing.assert_allclose(found, modified(given.astype("int32")), atol=1e-4)
    without_gate = modified.head(modified.backbone(given.astype("int32")))
    assert np.abs(found - without_gate).max() > 0.1  # the layer counts


def test_the_folder_says_what_it_is_and_holds_no_weights_of_a_gpt2(own_bundle):
    names = {path.name for path in own_bundle.iterdir()}
    assert {"model.safetensors", "genai_config.json"}.isdisjoint(names)
    assert json.loads((own_bundle / "config.json").read_text())["architectures"] == ["Modified"]
    assert Manifest.read(own_bundle).provenance["writer"] == "tf2onnx"
    report = (own_bundle / REPORT_MARKDOWN).read_text()
    assert "**the forward pass alone**" in report
    assert "A Keras model of" in report


def test_it_scores_as_the_model_does(own_bundle, modified):
    (score,) = load(own_bundle).score([[5, 6]], [[7, 8]])
    logits = np.asarray(modified(np.array([[5, 6, 7, 8]])))[0, 1:3]
    logprobs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    assert score.logprob == pytest.approx(logprobs[[0, 1], [7, 8]].sum(), abs=1e-3)


def test_text_is_refused_in_a_sentence(refuses, own_bundle):
    for more in ([], ["--stream"], ["--num-beams", 2]):
        sentence = refuses("generate", own_bundle, "--prompt", "The", *more, code=2)
        assert "has the forward pass alone (--writer tf2onnx)" in sentence
        assert "export with --writer direct" in sentence


def test_it_is_verified_as_every_bundle(own_bundle, tmp_path):
    assert verify(own_bundle).holds
    damaged = shutil.copytree(own_bundle, tmp_path / "damaged")
    model = onnx.load(damaged / ONNX_MODEL)
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * np.float32(1.1)).tobytes()
    onnx.save(model, damaged / ONNX_MODEL)
    Manifest.of_folder(damaged, ["onnx"], {}).write(damaged)
    assert not verify(damaged).holds


def test_a_file_that_differs_is_not_exported(modified, tokenizer, tmp_path, monkeypatch):
    other = Modified(modified.config)
    other.build()
    monkeypatch.setattr(forward, "write_forward", lambda _, path: write_forward(other, path))
    with pytest.raises(KerasGPTError, match="differs from the trained model, nothing was exported"):
        export_bundle(modified, tokenizer, tmp_path / "b", ("onnx",), writer="tf2onnx")
    assert not any(tmp_path.iterdir())


def test_a_bundle_whose_model_wrote_text_is_not_proved_by_a_forward_pass(bundle_copy, trained):
    write_forward(trained[0], bundle_copy / ONNX_MODEL)
    proof = prove(bundle_copy, "onnx")
    assert proof.parity.problems == ["the trained model wrote text, and this file cannot"]


def test_a_functional_model_of_ones_own_will_do(modified, tokenizer, tmp_path):
    ids = keras.Input((None,), dtype="int32")
    functional = keras.Model(ids, modified(ids) * 2.0)
    functional.config = modified.config
    (proof,) = export_bundle(functional, tokenizer, tmp_path / "b", ("onnx",), writer="tf2onnx")
    assert proof.parity.holds


def test_tf2onnx_and_the_direct_writer_agree(trained, tmp_path):
    """The graph of another program: 200 nodes for our 60, and the same logits."""
    model, _ = trained
    write_onnx(model.config, named_arrays(model), tmp_path / "direct.onnx")
    write_forward(model, tmp_path / "theirs.onnx")
    ids = np.random.default_rng(0).integers(0, model.config.vocabulary_size, (3, 40))
    ours = OnnxStepModel(tmp_path / "direct.onnx", max_sequence_length=96)
    session = onnxruntime.InferenceSession(tmp_path / "theirs.onnx")
    assert not any(node.domain for node in onnx.load(tmp_path / "theirs.onnx").graph.node)
    np.testing.assert_allclose(
        ours.all_logits(ids, np.full(3, 40)), session.run(None, {"input_ids": ids})[0], atol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"formats": ("saved_model", "onnx")}, "makes ONNX in fp32 alone"),
        ({"precisions": ("fp32", "int8")}, "makes ONNX in fp32 alone"),
        ({"writer": "tf2onx"}, "unknown writer 'tf2onx': did you mean 'tf2onnx'"),
        ({"writer": "direct"}, "Modified has weights that no GPT-2 has .*gate.* the writer tf2onnx"),
    ],
)
def test_what_cannot_be_asked_for(modified, tokenizer, tmp_path, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        export_bundle(
            modified, tokenizer, tmp_path / "b", **{"formats": ("onnx",), "writer": "tf2onnx", **options}
        )
    assert not any(tmp_path.iterdir())


def test_models_that_are_none_are_named(tokenizer, tmp_path, modified, monkeypatch):
    ids = keras.Input((None,), dtype="int32")
    nameless = keras.Model(ids, keras.layers.Embedding(280, 4)(ids))
    with pytest.raises(UsageError, match="has no `config`: give the model a GPT2Config"):
        export_bundle(nameless, tokenizer, tmp_path / "b", ("onnx",), writer="tf2onnx")
    recurrent = LSTMCausalLM(RecurrentConfig("lstm", 280, 16, 1, 8))
    with pytest.raises(UsageError, match="is for a GPT-2 of your own: the direct one writes a LSTMCausalLM"):
        export_bundle(recurrent, tokenizer, tmp_path / "b", ("onnx",), writer="tf2onnx")
    nameless.config = modified.config
    with pytest.raises(UsageError, match=r"gives \(.*4\): its call must give logits \(B, T, 280\)"):
        export_bundle(nameless, tokenizer, tmp_path / "b", ("onnx",), writer="tf2onnx")
    with pytest.raises(UsageError, match="has weights that no GPT-2 has"):
        export_bundle(nameless, tokenizer, tmp_path / "b", ("onnx",))
    monkeypatch.setattr(forward.onnx_file, "LARGEST_FILE", 100)
    with pytest.raises(UsageError, match="one file of at most 2 GB"):
        export_bundle(modified, tokenizer, tmp_path / "b", ("onnx",), writer="tf2onnx")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UsageError, match="Keras runs on jax here"):
        export_bundle(modified, tokenizer, tmp_path / "b", ("onnx",), writer="tf2onnx")
    assert not any(tmp_path.iterdir())
