"""Models come from presets and folders, each by the class of its own architecture."""

import pytest

from kerasgpt import GPT2CausalLM, GRUCausalLM, LSTMCausalLM, RecurrentConfig
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.models.causal_lm import load_model, model_class, refuse_recurrence


def test_a_folder_is_loaded_by_its_own_class(recurrent_folder, model_folder):
    loaded = load_model(recurrent_folder)
    assert type(loaded) in (LSTMCausalLM, GRUCausalLM)
    assert type(loaded) is model_class(loaded.config)
    assert type(load_model(model_folder)) is GPT2CausalLM
    with pytest.raises(UsageError, match=f"use {type(loaded).__name__}.from_preset"):
        GPT2CausalLM.from_preset(recurrent_folder)


def test_a_preset_of_another_architecture_is_refused():
    with pytest.raises(UsageError, match="lstm-nano: is a model of type lstm: use LSTMCausalLM.from_preset"):
        GRUCausalLM.from_preset("lstm-nano")
    with pytest.raises(UsageError, match="did you mean 'lstm-nano'"):
        LSTMCausalLM.from_preset("lstm-nan")
    assert LSTMCausalLM.from_preset("lstm-nano", vocabulary_size=20).config.vocabulary_size == 20


def test_a_policy_of_its_own(model_folder, recurrent_folder):
    for source in (model_folder, "gpt-nano"):
        model = GPT2CausalLM.from_preset(source, dtype="mixed_bfloat16", max_sequence_length=96)
        assert model.backbone.blocks[0].compute_dtype == "bfloat16"
    assert load_model(recurrent_folder, "mixed_bfloat16").compute_dtype == "bfloat16"
    assert load_model(model_folder).compute_dtype == "float32"


def test_only_what_is_no_gpt2_is_refused():
    refuse_recurrence(GPT2Config(), "lora.rank")
    with pytest.raises(UsageError, match="lora.rank: a model of type gru"):
        refuse_recurrence(RecurrentConfig("gru"), "lora.rank")
