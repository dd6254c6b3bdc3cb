"""Which model a recipe trains: what excludes what, and which fields each type of model has."""

import pytest

from kerasgpt.errors import UsageError
from kerasgpt.training.model_settings import ModelConfig, model_fields


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"preset": "gpt2", "init": "folder"}, "preset 'gpt2' and init 'folder': give the one or the other"),
        ({"word_vectors": "a.vec", "init": "folder"}, "own token embeddings are trained already"),
        ({"preset": "gpt2", "type": "lstm"}, "preset 'gpt2' and type 'lstm': give a preset of that type"),
        ({"type": "lstn"}, "unknown model.type 'lstn': did you mean 'lstm'"),
    ],
)
def test_settings_that_exclude_each_other_are_sentences(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        ModelConfig(**settings)


def test_one_rate_of_dropout_is_spread_over_those_that_the_model_has():
    config = ModelConfig(fields={"dropout": 0.2, "attention_dropout": 0.0})
    assert config.overrides() == {"dropout": 0.2, "embedding_dropout": 0.2, "attention_dropout": 0.0}
    assert "attention_dropout" not in ModelConfig(fields={"dropout": 0.2}).overrides("lstm")
    assert ModelConfig(fields={"num_layers": 3}).overrides() == {"num_layers": 3}


@pytest.mark.parametrize(
    ("table", "heads"),
    [
        ({}, True),
        ({"preset": "gpt2-medium"}, True),
        ({"type": "gru"}, False),
        ({"preset": "gru-mini"}, False),
        ({"init": "folder"}, True),  # of any type, which its config.json tells
        ({"init": "folder", "type": "lstm"}, False),
    ],
)
def test_fields_are_those_of_the_type_that_is_named(table, heads):
    fields = model_fields(table)
    assert ("num_heads" in fields) == heads
    assert fields["num_layers"] is int
