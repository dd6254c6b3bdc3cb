"""A KerasHub model in one call, by stand-ins for its classes; tests/clients/keras_hub_models.py has them."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from kerasgpt import GenerationConfig, export_bundle, load
from kerasgpt.checkpoints.hdf5 import open_datasets
from kerasgpt.checkpoints.keras_hub_writer import write_preset
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export import artifact_writing
from kerasgpt.export.keras_hub import ours


class GPT2Tokenizer:
    __module__ = "keras_hub.models"

    def __init__(self, tokenizer):
        self.vocabulary = tokenizer.vocabulary
        self.merges = [" ".join(pair) for pair in tokenizer.merges]
        self.unsplittable_tokens = ["<|endoftext|>"]
        self.add_prefix_space = False


class GPT2Backbone:
    """The attributes of KerasHub's, holding the arrays that a preset of this model has."""

    __module__ = "keras_hub.models"

    def __init__(self, model, folder):
        folder.mkdir()
        write_preset(model.config, named_arrays(model), folder)
        stored = open_datasets(folder / "model.weights.h5")
        arrays = {name.removeprefix("layers/"): np.asarray(array) for name, array in stored.items()}
        self.config = model.config
        self.compute_dtype = "float32"
        self.token_embedding = tree(arrays, "reversible_embedding")
        self.position_embedding = tree(arrays, "position_embedding")
        self.layer_norm = tree(arrays, "layer_normalization")
        names = ("transformer_decoder", "transformer_decoder_1")
        self.transformer_layers = [tree(arrays, name) for name in names]

    def get_config(self):
        names = ("vocabulary_size", "num_layers", "num_heads", "hidden_dim", "max_sequence_length", "dropout")
        sizes = {name: getattr(self.config, name) for name in names}
        return {**sizes, "intermediate_dim": self.config.feed_forward_dim}


def tree(arrays, prefix):
    inside = {
        name.removeprefix(f"{prefix}/"): a for name, a in arrays.items() if name.startswith(f"{prefix}/")
    }
    if "vars/0" in inside:
        weights = [keras.Variable(inside[f"vars/{number}"]) for number in range(len(inside))]
        return SimpleNamespace(weights=weights, path=prefix)
    return SimpleNamespace(**{name: tree(inside, name) for name in {name.split("/")[0] for name in inside}})


class GPT2CausalLM:
    """KerasHub's, answering by `answer` of ids and mask."""

    __module__ = "keras_hub.models"

    def __init__(self, backbone, preprocessor, answer):
        self.backbone, self.preprocessor, self._answer = backbone, preprocessor, answer

    def __call__(self, inputs):
        return self._answer(inputs["token_ids"], attention_mask=inputs["padding_mask"])


@pytest.fixture
def hub(trained, tmp_path):
    model, tokenizer = trained
    preprocessor = SimpleNamespace(tokenizer=GPT2Tokenizer(tokenizer))
    return GPT2CausalLM(GPT2Backbone(model, tmp_path / "preset"), preprocessor, model)


def test_a_model_and_its_tokenizer_become_ours(hub, trained):
    model, tokenizer = ours(hub, None)
    wanted = named_arrays(trained[0])
    assert all(np.array_equal(array, wanted[name]) for name, array in named_arrays(model).items())
    assert model.config.max_sequence_length == trained[0].config.max_sequence_length
    assert tokenizer.vocabulary == trained[1].vocabulary


def test_one_call_exports_it(hub, trained, tmp_path, monkeypatch, prove_only):
    monkeypatch.setattr(artifact_writing, "prove", prove_only("onnx"))
    settings = GenerationConfig(max_new_tokens=8)
    proofs = export_bundle(hub, None, tmp_path / "bundle", ("onnx",), generation_config=settings)
    assert all(proof.parity.holds for proof in proofs)
    assert load(tmp_path / "bundle").score(["The"], [" end"])[0].num_tokens > 0


def test_a_tokenizer_that_is_given_wins(hub, trained):
    hub.preprocessor = None
    tokenizer = trained[1]
    assert ours(hub, tokenizer)[1] is tokenizer
    assert ours(hub, GPT2Tokenizer(tokenizer))[1].vocabulary == tokenizer.vocabulary


def test_without_a_preprocessor_a_tokenizer_is_asked_for(hub):
    hub.preprocessor = None
    with pytest.raises(UsageError, match="GPT2CausalLM has no preprocessor, so no tokenizer: give one"):
        ours(hub, None)


@pytest.mark.parametrize("name", ["GemmaCausalLM", "GPT2Backbone"])
def test_another_model_of_kerashub_is_refused(name, trained, tmp_path):
    other = type(name, (), {"__module__": "keras_hub.src.models"})()
    with pytest.raises(UsageError, match=f"{name} of KerasHub is no GPT-2 that writes text"):
        export_bundle(other, trained[1], tmp_path / "bundle")


def test_a_model_of_ours_needs_a_tokenizer(trained, tmp_path):
    with pytest.raises(UsageError, match="no tokenizer: give the one that the model was trained with"):
        export_bundle(trained[0], None, tmp_path / "bundle")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("change", [lambda logits: logits + 0.01, lambda logits: logits * float("nan")])
def test_a_model_that_was_changed_is_refused(hub, trained, change):
    hub._answer = lambda ids, attention_mask: change(trained[0](ids, attention_mask=attention_mask))
    with pytest.raises(KerasGPTError, match="its weights in a plain model answer otherwise than it does"):
        ours(hub, None)


def test_sixteen_bits_may_be_rounded_and_no_more(hub, trained):
    hub.backbone.compute_dtype = "bfloat16"

    def rounded(ids, attention_mask):
        return keras.ops.cast(trained[0](ids, attention_mask=attention_mask), "bfloat16")

    hub._answer = rounded
    model, _ = ours(hub, None)
    assert model.compute_dtype == "float32"
    hub._answer = lambda ids, attention_mask: rounded(ids, attention_mask) * 1.2
    with pytest.raises(KerasGPTError, match="answer otherwise"):
        ours(hub, None)


def test_a_mixed_policy_of_the_process_does_not_matter(hub):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert ours(hub, None)[0].compute_dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


def test_what_lora_has_learned_is_part_of_the_weights(hub, trained):
    layer = hub.backbone.transformer_layers[1]._feedforward_intermediate_dense
    layer.lora_enabled = True
    layer.kernel = layer.weights[0] + 0.5
    answer, hub._answer = hub._answer, lambda ids, attention_mask: with_lora(ids)
    with_lora = type(answer)(answer.config)
    with_lora.build()
    with_lora.set_weights(answer.get_weights())
    kernel = with_lora.backbone.blocks[1].feed_forward.weights[0]
    kernel.assign(kernel + 0.5)
    model, _ = ours(hub, None)
    name = "transformer.h.1.mlp.c_fc.weight"
    np.testing.assert_allclose(named_arrays(model)[name], named_arrays(answer)[name] + 0.5, rtol=1e-6)


def test_a_quantised_model_is_refused(hub):
    hub.backbone.layer_norm.quantization_mode = "int8"
    with pytest.raises(UsageError, match="layer_normalization: is quantised to int8"):
        ours(hub, None)
