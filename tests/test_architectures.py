"""The table of architectures: each row resolves, and what is known of a model leads to its row."""

import pytest

from kerasgpt.architectures import (
    ALL_PRESETS,
    ARCHITECTURES,
    config_from_huggingface,
    config_of_preset,
    config_of_type,
    field_names,
    type_of,
    type_of_preset,
)
from kerasgpt.engines import resolve
from kerasgpt.errors import KerasGPTError, UsageError


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_row_resolves_and_knows_its_own(name):
    row = ARCHITECTURES[name]
    assert resolve(row.model).model_type == name
    assert callable(resolve(row.steps))
    config = config_of_type(name, num_layers=1)
    assert type_of(config) == name
    assert config_from_huggingface(config.to_huggingface()) == config
    assert "cell" not in field_names(row.config)


@pytest.mark.parametrize("preset", ALL_PRESETS)
def test_every_preset_has_a_type(preset):
    assert type_of(config_of_preset(preset)) == type_of_preset(preset)


def test_what_is_not_there_is_a_sentence():
    with pytest.raises(UsageError, match="unknown preset 'lstm-min'"):
        type_of_preset("lstm-min")
    with pytest.raises(KerasGPTError, match="model_type is 'llama'"):
        config_from_huggingface({"model_type": "llama"})
