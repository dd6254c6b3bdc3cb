"""KerasHub's presets and models. The real KerasHub is met by tests/clients/keras_hub_import.py."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from kerasgpt.checkpoints.keras_hub import read_folder
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.models.gpt2 import GPT2CausalLM


def test_every_number_arrives_where_it_belongs(keras_hub_folder, arrays):
    model = GPT2CausalLM.from_preset(keras_hub_folder)
    found = named_arrays(model)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    config = model.config
    assert (config.dropout, config.embedding_dropout, config.attention_dropout) == (0.2, 0.2, 0.2)
    assert (config.activation, config.layer_norm_epsilon, config.tie_word_embeddings) == (
        "gelu_new",
        1e-5,
        True,
    )


def test_a_preset_of_kerasnlps_time_is_read(keras_hub_folder, arrays):
    path = keras_hub_folder / "config.json"
    path.write_text(path.read_text().replace("keras_hub>", "keras_nlp>"))
    with h5py.File(keras_hub_folder / "model.weights.h5", "a") as file:
        file.move("layers", "_layer_checkpoint_dependencies")
    found = named_arrays(GPT2CausalLM.from_preset(keras_hub_folder))
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


class GPT2Backbone:
    """Stands for KerasHub's class, by the attributes it has."""

    def __init__(self, settings: dict, arrays: dict[str, np.ndarray]) -> None:
        self.get_config = lambda: settings
        self.token_embedding = self.tree(arrays, "reversible_embedding")
        self.position_embedding = self.tree(arrays, "position_embedding")
        self.layer_norm = self.tree(arrays, "layer_normalization")
        decoders = ("transformer_decoder", "transformer_decoder_1")
        self.transformer_layers = [self.tree(arrays, name) for name in decoders]

    def tree(self, arrays, prefix):
        inside = {
            name.removeprefix(f"{prefix}/"): a for name, a in arrays.items() if name.startswith(f"{prefix}/")
        }
        if "vars/0" in inside:
            weights = [inside[f"vars/{number}"] for number in range(len(inside))]
            return SimpleNamespace(
                weights=[SimpleNamespace(path=prefix, shape=a.shape, numpy=lambda a=a: a) for a in weights]
            )
        children = {name.split("/")[0] for name in inside}
        return SimpleNamespace(**{name: self.tree(inside, name) for name in children})


def test_a_model_in_memory_is_read(keras_hub_folder, keras_hub_arrays, arrays):
    settings = json.loads((keras_hub_folder / "config.json").read_text())["config"]
    backbone = GPT2Backbone(settings, keras_hub_arrays)
    for source in (backbone, SimpleNamespace(backbone=backbone)):
        found = named_arrays(GPT2CausalLM.from_preset(source))
        assert all(np.array_equal(found[name], array) for name, array in arrays.items())


def test_another_object_is_refused():
    with pytest.raises(UsageError, match="cannot read a dict: give a folder"):
        GPT2CausalLM.from_preset({})


def test_another_model_is_refused(keras_hub_folder):
    path = keras_hub_folder / "config.json"
    path.write_text(path.read_text().replace("GPT2Backbone", "BertBackbone"))
    with pytest.raises(KerasGPTError, match="describes 'keras_hub>BertBackbone'"):
        read_folder(keras_hub_folder)


def test_a_missing_setting_is_named(keras_hub_folder):
    path = keras_hub_folder / "config.json"
    path.write_text(path.read_text().replace("num_heads", "num_haeds"))
    with pytest.raises(KerasGPTError, match=r"config\.json: has no num_heads"):
        read_folder(keras_hub_folder)


@pytest.mark.parametrize("config", [[1], None, "x"])
def test_settings_that_are_none_are_named(keras_hub_folder, config):
    path = keras_hub_folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "config": config}))
    with pytest.raises(KerasGPTError, match=r"config\.json: has no "):
        read_folder(keras_hub_folder)


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_a_missing_part_is_a_missing_weight(keras_hub_folder, part):
    with h5py.File(keras_hub_folder / "model.weights.h5", "a") as file:
        del file[f"layers/transformer_decoder_1/_self_attention_layer/{part}_dense/vars/1"]
    with pytest.raises(KerasGPTError, match=r"has no transformer\.h\.1\.attn\.c_attn\.bias"):
        GPT2CausalLM.from_preset(keras_hub_folder)


def test_heads_of_another_number_are_not_mistaken(keras_hub_folder):
    """The merged width is the same only if N H = D: a kernel of another width is refused."""
    name = "layers/transformer_decoder/_self_attention_layer/output_dense/vars/0"
    with h5py.File(keras_hub_folder / "model.weights.h5", "a") as file:
        del file[name]
        file[name] = np.zeros((3, 4, 8), "float32")
    with pytest.raises(KerasGPTError, match=r"output_dense/vars/0 has shape \(12, 8\), .* asks for \(8, 8\)"):
        GPT2CausalLM.from_preset(keras_hub_folder)
