"""Presets for KerasHub. The real KerasHub reads them in tests/clients/keras_hub_models.py."""

import json

import h5py
import numpy as np
import pytest

from kerasgpt.checkpoints.formats import read_checkpoint, read_tokenizer
from kerasgpt.checkpoints.keras_hub_writer import refuse_unknown_settings, write_preset
from kerasgpt.checkpoints.mapping import checked_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.bpe import Tokenizer


@pytest.fixture
def config(huggingface_config):
    return GPT2Config.from_huggingface(huggingface_config)


@pytest.fixture
def tokenizer():
    return Tokenizer.learn(["low lower lowest newer newest"], 271)


def test_the_weights_are_kerashubs_byte_for_byte(config, arrays, keras_hub_arrays, tmp_path):
    write_preset(config, arrays, tmp_path)
    found = {}
    with h5py.File(tmp_path / "model.weights.h5") as file:
        file["layers"].visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    assert found.keys() == keras_hub_arrays.keys()
    for name, array in keras_hub_arrays.items():
        assert (found[name].shape, found[name].tobytes()) == (array.shape, array.tobytes()), name


def test_what_is_written_reads_back_bit_for_bit(config, arrays, tokenizer, tmp_path):
    write_preset(config, arrays, tmp_path, tokenizer)
    read, stored = read_checkpoint(tmp_path)
    for name in ("vocabulary_size", "num_layers", "num_heads", "hidden_dim", "feed_forward_dim", "dropout"):
        assert getattr(read, name) == getattr(config, name)
    found = dict(checked_arrays(stored, read, "preset"))
    assert all(found[name].tobytes() == array.tobytes() for name, array in arrays.items())
    again = read_tokenizer(tmp_path)
    assert (again.vocabulary, again.merges) == (tokenizer.vocabulary, tokenizer.merges)


def test_the_task_is_there_only_with_a_tokenizer(config, arrays, tokenizer, tmp_path):
    bare, whole = tmp_path / "bare", tmp_path / "whole"
    for folder, given in ((bare, None), (whole, tokenizer)):
        folder.mkdir()
        write_preset(config, arrays, folder, given)
    assert {path.name for path in bare.iterdir()} == {"config.json", "metadata.json", "model.weights.h5"}
    task = json.loads((whole / "task.json").read_text())
    assert task["registered_name"] == "keras_hub>GPT2CausalLM"
    assert task["config"]["backbone"] == json.loads((whole / "config.json").read_text())
    assert task["config"]["preprocessor"] == json.loads((whole / "preprocessor.json").read_text())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation", "relu"),
        ("layer_norm_epsilon", 1e-6),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("tie_word_embeddings", False),
    ],
)
def test_what_kerashub_cannot_be_told_is_refused(config, name, value):
    refuse_unknown_settings(config)
    with pytest.raises(UsageError, match=f"{name} is {value!r}: KerasHub's GPT-2 knows only"):
        refuse_unknown_settings(config.replace(**{name: value}))


def test_another_end_of_text_is_refused_before_anything_is_written(config, arrays, tmp_path):
    learned = Tokenizer.learn(["the rain"] * 2, 262, special_tokens=["</s>"])
    other = Tokenizer(learned.vocabulary, learned.merges, end_of_text="</s>")
    with pytest.raises(
        UsageError, match="ends texts with </s>, and KerasHub's GPT2Tokenizer with <|endoftext|>"
    ):
        write_preset(config, arrays, tmp_path, other)
    assert not list(tmp_path.iterdir())


def test_three_rates_of_dropout_are_refused(config):
    with pytest.raises(UsageError, match="dropout 0.1, embedding_dropout 0.2, .* one dropout for all"):
        refuse_unknown_settings(config.replace(embedding_dropout=0.2))


def test_numbers_keep_every_bit(config, arrays, tmp_path):
    name = "transformer.h.1.attn.c_attn.weight"
    arrays[name] = np.nextafter(arrays[name], np.float32(9), dtype=np.float32)
    write_preset(config, arrays, tmp_path)
    _, stored = read_checkpoint(tmp_path)
    assert np.asarray(stored[name]).tobytes() == arrays[name].tobytes()
