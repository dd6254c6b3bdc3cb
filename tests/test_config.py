"""Settings: their Hugging Face form, their checks, and the sentences they refuse with."""

import json

import numpy as np
import pytest

from kerasgpt.config import PRESETS, GPT2Config, read_json
from kerasgpt.errors import KerasGPTError, UsageError


@pytest.mark.parametrize("preset", PRESETS)
def test_hugging_face_form_round_trips(preset):
    config = GPT2Config.from_preset(preset, activation="silu", tie_word_embeddings=False, vocabulary_size=300)
    assert GPT2Config.from_huggingface(config.to_huggingface()) == config


def test_reads_a_hugging_face_config(golden_config):
    config = GPT2Config.from_huggingface(golden_config)
    assert config.vocabulary_size == golden_config["vocab_size"]
    assert config.max_sequence_length == golden_config["n_positions"]
    assert config.feed_forward_dim == (golden_config["n_inner"] or 4 * golden_config["n_embd"])
    assert config.layer_norm_epsilon == golden_config["layer_norm_epsilon"]
    assert config.eos_token_id == 0


def test_the_end_of_text_follows_the_vocabulary():
    assert GPT2Config(vocabulary_size=1024).eos_token_id == 1023
    assert GPT2Config().to_huggingface()["eos_token_id"] == 50256


@pytest.mark.parametrize("token", [50256, 300])
def test_a_file_whose_ids_are_of_a_larger_vocabulary_has_none(token):
    config = GPT2Config.from_huggingface({"vocab_size": 300, "bos_token_id": token, "eos_token_id": token})
    assert (config.bos_token_id, config.eos_token_id) == (299, 299)
    config = GPT2Config.from_huggingface({"vocab_size": 300, "bos_token_id": 7, "eos_token_id": token})
    assert (config.bos_token_id, config.eos_token_id) == (7, 299)
    assert GPT2Config.from_huggingface({"eos_token_id": 50257}).eos_token_id == 50256


def test_attention_scales():
    plain = GPT2Config(hidden_dim=64, num_heads=4)
    assert plain.attention_scale(3) == 0.25
    assert plain.replace(scale_attn_by_inverse_layer_idx=True).attention_scale(3) == 0.25 / 4
    assert plain.replace(scale_attn_weights=False).attention_scale(3) == 1.0


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"num_heads": 5}, "hidden_dim 768 is not a multiple of num_heads 5"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"intermediate_dim": 0}, "intermediate_dim is 0: it must be at least 1"),
        ({"intermediate_dim": -5}, "intermediate_dim is -5: it must be at least 1"),
        ({"max_sequence_length": 1}, "max_sequence_length is 1: it must be at least 2"),
        ({"activation": "swish"}, "unknown activation 'swish'"),
        ({"dropout": 1.0}, r"a rate is in \[0, 1\)"),
        ({"eos_token_id": 50257}, "eos_token_id 50257 is not an id"),
        ({"layer_norm_epsilon": -1.0}, r"layer_norm_epsilon is -1\.0: it must be above 0"),
        ({"layer_norm_epsilon": 0.0}, "it must be above 0"),
        ({"initializer_range": -1.0}, r"initializer_range is -1\.0: it must be 0 or more"),
        ({"initializer_range": float("nan")}, "initializer_range is nan"),
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings is 'false': it must be true or false"),
        ({"dropout": "0.1"}, r"dropout is '0\.1': it must be a number"),
        ({"eos_token_id": 1.5}, r"eos_token_id is 1\.5: it must be an integer"),
    ],
)
def test_impossible_shapes_are_refused(fields, sentence):
    with pytest.raises(UsageError, match=sentence):
        GPT2Config(**fields)


def test_an_unknown_field_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'num_layers'"):
        GPT2Config.from_preset("gpt2", num_layer=3)
    with pytest.raises(UsageError, match="did you mean 'hidden_dim'"):
        GPT2Config().replace(hidden_dims=3)


def test_unreadable_json_is_named(tmp_path):
    with pytest.raises(KerasGPTError, match="nothing.json: cannot read"):
        read_json(tmp_path / "nothing.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(KerasGPTError, match="bad.json: cannot read .not valid JSON"):
        read_json(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(KerasGPTError, match="holds a JSON list"):
        read_json(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[" * 100_000 + "]" * 100_000, "not valid JSON: maximum recursion depth"),
        ('{"a": ' * 100_000 + "1" + "}" * 100_000, "not valid JSON: maximum recursion depth"),
        ('{"n": ' + "9" * 5000 + "}", r"not valid JSON: Exceeds the limit .* 5000 digits"),
    ],
    ids=["lists", "objects", "digits"],
)
def test_json_that_python_cannot_hold_is_named(tmp_path, content, sentence):
    (tmp_path / "deep.json").write_text(content)
    with pytest.raises(KerasGPTError, match=rf"deep\.json: cannot read \({sentence}"):
        read_json(tmp_path / "deep.json")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"n_positions": "512"}, 'n_positions is "512": it must be an integer'),
        ({"n_ctx": [512]}, r"n_ctx is \[512\]: it must be an integer"),
        ({"num_attention_heads": "4"}, 'num_attention_heads is "4": it must be an integer'),
        ({"n_layer": True}, "n_layer is true: it must be an integer"),
        ({"n_inner": 1.5}, "n_inner is 1.5: it must be an integer or null"),
        ({"resid_pdrop": "0.1"}, 'resid_pdrop is "0.1": it must be a number'),
        ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon is NaN: it must be a number"),
        ({"resid_pdrop": 10**400}, "resid_pdrop is 1000.*: it must be a number"),
        ({"n_embd": 2 * 10**3000}, "n_embd is 2000*: it must be at least 1, and below 2.31"),
        ({"tie_word_embeddings": "no"}, 'tie_word_embeddings is "no": it must be true or false'),
        ({"activation_function": None}, "activation_function is null: it must be a string"),
        ({"eos_token_id": [1, 2]}, r"eos_token_id is \[1, 2\]: it must be an integer or null"),
        ({"vocab_size": 300, "eos_token_id": -1}, "eos_token_id -1 is not an id of a vocabulary of 300"),
        ({"vocab_size": "300", "eos_token_id": 300}, 'vocab_size is "300": it must be an integer'),
        ({"n_positions": 0}, "n_positions is 0: it must be at least 2"),
        ({"n_embd": 10, "n_head": 3}, "n_embd 10 is not a multiple of n_head 3"),
    ],
)
def test_a_file_is_refused_by_its_own_words(content, sentence):
    with pytest.raises(KerasGPTError, match=f"my/config.json: {sentence}"):
        GPT2Config.from_huggingface(content, "my/config.json")


def test_the_other_words_of_hugging_faces_classes_are_read():
    sizes = {
        "max_position_embeddings": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "hidden_size": 32,
    }
    config = GPT2Config.from_huggingface({"vocab_size": 300, **sizes})
    assert (config.max_sequence_length, config.num_layers, config.num_heads, config.hidden_dim) == (
        64,
        3,
        4,
        32,
    )
    config = GPT2Config.from_huggingface({"n_head": 6, "num_attention_heads": 4})
    assert config.num_heads == 6


def test_ids_beyond_a_smaller_vocabulary_are_its_last_again():
    config = GPT2Config.from_preset("gpt2", bos_token_id=7).replace(vocabulary_size=1024)
    assert (config.vocabulary_size, config.bos_token_id, config.eos_token_id) == (1024, 7, 1023)
    assert config.replace(vocabulary_size=2000).eos_token_id == 1023
    assert config.replace(vocabulary_size=512, eos_token_id=3).eos_token_id == 3


def test_sizes_are_integers_numpys_too():
    config = GPT2Config(
        vocabulary_size=np.int64(300), max_sequence_length=np.int32(32), num_heads=np.uint8(4)
    )
    assert {
        type(each) for each in (config.vocabulary_size, config.max_sequence_length, config.num_heads)
    } == {int}
    assert json.dumps(config.to_huggingface())
    for wrong in (2.0, "2", True):
        with pytest.raises(UsageError, match=f"num_layers is {wrong!r}: it must be an integer"):
            GPT2Config(num_layers=wrong)
