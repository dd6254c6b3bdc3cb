"""Settings of recurrent models: their sizes, their file, and what is refused."""

import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.recurrent_config import RECURRENT_PRESETS, RecurrentConfig


@pytest.mark.parametrize("preset", RECURRENT_PRESETS)
def test_presets_have_as_many_parameters_as_the_transformer_of_that_size(preset):
    size = preset.partition("-")[2]
    sizes = {"vocabulary_size": 1024, "max_sequence_length": 128}
    theirs = GPT2Config.from_preset(f"gpt-{size}", **sizes)
    ours = RecurrentConfig.from_preset(preset, **sizes)
    positions = theirs.max_sequence_length * theirs.hidden_dim
    assert ours.num_parameters == pytest.approx(theirs.num_parameters - positions, rel=0.02)
    assert ours.embedding_width == theirs.hidden_dim


def test_the_file_gives_back_the_configuration():
    config = RecurrentConfig("gru", 100, 32, 3, 8, 4, 0.2, 0.3, 0.1, False, 5, 6)
    values = config.to_huggingface()
    assert values["model_type"] == "gru"
    assert values["architectures"] == ["GRUCausalLM"]
    assert RecurrentConfig.from_huggingface(values) == config


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"cell": "lsmt"}, "did you mean 'lstm'"),
        ({"hidden_dim": 0}, "hidden_dim is 0"),
        ({"max_sequence_length": 1}, "max_sequence_length is 1: it must be at least 2"),
        ({"embedding_dim": 0}, "embedding_dim is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"initializer_range": float("inf")}, "initializer_range is inf: it must be 0 or more"),
        ({"vocabulary_size": 10, "eos_token_id": 10}, "eos_token_id 10 is not an id"),
    ],
)
def test_what_cannot_be_is_a_sentence(fields, sentence):
    with pytest.raises(UsageError, match=sentence):
        RecurrentConfig(**fields)


def test_a_damaged_file_names_itself():
    with pytest.raises(KerasGPTError, match=r"my/config\.json: num_layers is 0"):
        RecurrentConfig.from_huggingface({"model_type": "lstm", "num_layers": 0}, "my/config.json")
    with pytest.raises(KerasGPTError, match=r'my/config\.json: hidden_dim is "8": it must be an integer$'):
        RecurrentConfig.from_huggingface({"model_type": "gru", "hidden_dim": "8"}, "my/config.json")
    with pytest.raises(UsageError, match="did you mean 'hidden_dim'"):
        RecurrentConfig().replace(hiden_dim=3)
    with pytest.raises(UsageError, match="lstm-mini"):
        RecurrentConfig.from_preset("lstm-min")
