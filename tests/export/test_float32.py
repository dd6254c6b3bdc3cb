"""A model of mixed precision becomes the same in float32, and is told where it is no plain model."""

import keras
import numpy as np
import pytest

from kerasgpt import GPT2CausalLM, export_bundle
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.errors import KerasGPTError
from kerasgpt.export import artifact_writing
from kerasgpt.export.float32 import in_float32
from kerasgpt.export.pipeline import export_folder
from kerasgpt.export.saved_model import rounded_model
from kerasgpt.models.causal_lm import load_model


class Louder(GPT2CausalLM):
    """A model of the same weights that answers otherwise."""

    def call(self, token_ids, **arguments):
        return 1.2 * super().call(token_ids, **arguments)


@pytest.fixture
def process_policy():
    """Let whatever does not say otherwise be bfloat16 in this process."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def test_what_computes_in_float32_stays_what_it_is(model):
    assert in_float32(model) is model


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_the_weights_are_the_same_and_the_policy_is_float32(trained, policy):
    other = GPT2CausalLM(trained[0].config, dtype=policy)
    other.build()
    other.set_weights(trained[0].get_weights())
    found = in_float32(other)
    assert found.compute_dtype == "float32"
    wanted = named_arrays(trained[0])
    assert all(np.array_equal(array, wanted[name]) for name, array in named_arrays(found).items())


def test_a_recurrent_model_too(recurrent_folder):
    assert in_float32(load_model(recurrent_folder, "mixed_bfloat16")).compute_dtype == "float32"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float32"])
def test_a_model_that_was_changed_is_refused(trained, policy):
    changed = Louder(trained[0].config, dtype=policy)
    changed.build()
    changed.set_weights(trained[0].get_weights())
    with pytest.raises(KerasGPTError, match="Louder: its weights in a plain model answer otherwise"):
        in_float32(changed)


def own_model(config, call):
    model = type("Own", (GPT2CausalLM,), {"call": call} if call else {})(config)
    model.build()
    return model


@pytest.mark.parametrize("call", [None, lambda self, ids: {"logits": GPT2CausalLM.call(self, ids)}])
def test_a_class_of_ones_own_that_answers_alike_is_not(trained, call):
    own = own_model(trained[0].config, call)
    assert in_float32(own) is own


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda self, inputs: GPT2CausalLM.call(self, inputs["ids"]), r"\(.+\)"),
        (lambda self, ids: {"hidden": self.backbone(ids)}, r"\(it gives \(\)\)"),
        (lambda self, ids: self.backbone(ids), r"\(it gives \(2, 64, 16\)\)"),
    ],
)
def test_one_whose_call_is_of_another_form_is_refused_in_a_sentence(trained, call, problem):
    with pytest.raises(KerasGPTError, match=r"Own: its call does not map ids .* " + problem):
        in_float32(own_model(trained[0].config, call))


def test_a_model_of_mixed_precision_is_exported(model_folder, trained, tmp_path, monkeypatch, prove_only):
    monkeypatch.setattr(artifact_writing, "prove", prove_only("onnx"))
    mixed = GPT2CausalLM.from_preset(model_folder, dtype="mixed_bfloat16")
    proofs = export_bundle(mixed, trained[1], tmp_path / "bundle", ("onnx",))
    assert proofs[1].parity.max_logit_error < 1e-4


def test_a_policy_of_the_process_does_not_round_what_a_folder_holds(
    model_folder, tmp_path, process_policy, monkeypatch, prove_only
):
    monkeypatch.setattr(artifact_writing, "prove", prove_only())
    export_folder(model_folder, tmp_path / "bundle", ("onnx",))
    files = [folder / "model.safetensors" for folder in (model_folder, tmp_path / "bundle")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_a_rounded_file_is_compared_with_computes_in_float32(model, process_policy):
    assert rounded_model(model.config, named_arrays(model), "int8").compute_dtype == "float32"
