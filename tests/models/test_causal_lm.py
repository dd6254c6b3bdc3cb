"""Models come from presets and folders, each by the class of its own architecture."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasgpt import GPT2CausalLM, GRUCausalLM, LSTMCausalLM, RecurrentConfig
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.layers.attention import MultiHeadAttention
from kerasgpt.layers.block import TransformerBlock
from kerasgpt.layers.embedding import TokenAndPositionEmbedding
from kerasgpt.layers.feed_forward import FeedForward
from kerasgpt.models.causal_lm import load_model, model_class, refuse_recurrence
from kerasgpt.models.gpt2 import GPT2

TINY = GPT2Config(vocabulary_size=20, num_layers=1, num_heads=2, hidden_dim=8, max_sequence_length=16)


def test_a_folder_is_loaded_by_its_own_class(recurrent_folder, model_folder):
    loaded = load_model(recurrent_folder)
    assert type(loaded) in (LSTMCausalLM, GRUCausalLM)
    assert type(loaded) is model_class(loaded.config)
    assert type(load_model(model_folder)) is GPT2CausalLM
    with pytest.raises(UsageError, match=f"use {type(loaded).__name__}.from_preset"):
        GPT2CausalLM.from_preset(recurrent_folder)


@pytest.mark.parametrize("make", [lambda: GPT2CausalLM(TINY), lambda: GPT2(TINY)])
def test_a_file_is_not_opened_with_fresh_weights_where_memory_runs_out(make, tmp_path, monkeypatch):
    model = make()
    model.build()
    model.save(tmp_path / "model.keras")

    def no_memory(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(TokenAndPositionEmbedding, "build", no_memory)
    with pytest.raises(MemoryError, match="no room"):
        keras.saving.load_model(tmp_path / "model.keras")


def test_a_preset_of_another_architecture_is_refused():
    with pytest.raises(UsageError, match="lstm-nano: is a model of type lstm: use LSTMCausalLM.from_preset"):
        GRUCausalLM.from_preset("lstm-nano")
    with pytest.raises(UsageError, match="did you mean 'lstm-nano'"):
        LSTMCausalLM.from_preset("lstm-nan")
    assert LSTMCausalLM.from_preset("lstm-nano", vocabulary_size=20).config.vocabulary_size == 20


def classifier(layer):
    ids = keras.Input((6,), dtype="int32")
    if isinstance(layer, keras.Model):
        hidden = layer(ids)
    else:
        vectors = keras.layers.Embedding(20, 8, trainable=False)(ids)
        hidden = layer(vectors) if isinstance(layer, FeedForward) else layer(vectors, None)[0]
    return keras.Model(ids, keras.layers.Dense(3, name="head")(hidden))


@pytest.mark.parametrize("by_argument", [True, False])
@pytest.mark.parametrize(
    ("layer_class", "arguments"),
    [
        (GPT2, (TINY,)),
        (GPT2CausalLM, (TINY,)),
        (LSTMCausalLM, (RecurrentConfig("lstm", 20, num_layers=1, hidden_dim=8),)),
        (GRUCausalLM, (RecurrentConfig("gru", 20, num_layers=1, hidden_dim=8, embedding_dim=4),)),
        (TransformerBlock, (2, 8)),
        (MultiHeadAttention, (2,)),
        (FeedForward, (8,)),
    ],
)
def test_what_is_frozen_before_it_has_weights_stays_so_and_comes_back_so(
    layer_class, arguments, by_argument, tmp_path
):
    layer = layer_class(*arguments, trainable=not by_argument)
    if not by_argument:
        layer.trainable = False
    model = classifier(layer)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.saving.load_model(tmp_path / "model.keras")):
        assert [variable.path for variable in each.trainable_variables] == ["head/kernel", "head/bias"]
    layer.trainable = True
    assert len(model.trainable_variables) == 2 + len(layer.weights)


def test_a_part_of_a_frozen_model_may_be_trained():
    stack = GPT2(TINY, trainable=False, name="stack")
    stack.final_norm.trainable = True
    trained = [variable.path for variable in classifier(stack).trainable_variables]
    assert trained == ["stack/final_norm/gamma", "stack/final_norm/beta", "head/kernel", "head/bias"]


@pytest.mark.parametrize("make", [GPT2CausalLM, lambda config: classifier(GPT2CausalLM(config).backbone)])
def test_what_is_frozen_inside_comes_back_so(make, tmp_path):
    model = make(TINY)
    model(np.ones((1, 6), "int32"))
    stack = next(layer for layer in model._flatten_layers() if isinstance(layer, GPT2))
    stack.trainable = False  # but for the last block, and of that not the attention
    stack.blocks[-1].trainable = True
    stack.blocks[-1].attention.trainable = False
    trained = [variable.path for variable in model.trainable_variables]
    assert any("feed_forward" in path for path in trained)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each in (again, keras.models.clone_model(again)):
        assert [variable.path for variable in each.trainable_variables] == trained


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


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize(
    "make",
    [
        lambda policy: GPT2(GPT2Config(5000, 16, 1, 2, 8), dtype=policy),
        lambda policy: GPT2CausalLM(GPT2Config(5000, 16, 1, 2, 8), dtype=policy),
        lambda policy: LSTMCausalLM(RecurrentConfig("lstm", 5000, 16, 1, 8), dtype=policy),
    ],
    ids=["GPT2", "GPT2CausalLM", "LSTMCausalLM"],
)
def test_ids_that_come_as_floats_are_the_same_ids(make, policy):
    """As those of a `keras.Input` without a dtype do; bfloat16 has whole numbers up to 256 only."""
    model, ids = make(policy), np.random.default_rng(0).integers(0, 5000, (4, 9))
    expected = np.asarray(keras.ops.cast(model(ids), "float32"))
    inputs = keras.Input((9,))
    for found in (model(ids.astype("float32")), keras.Model(inputs, model(inputs))(ids)):
        np.testing.assert_array_equal(np.asarray(keras.ops.cast(found, "float32")), expected)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (GPT2Config(), "is made of a RecurrentConfig, not of a GPT2Config"),
        ({"foo": 1}, "unknown setting 'foo'"),
    ],
)
def test_what_is_no_configuration_is_refused(config, sentence):
    with pytest.raises(UsageError, match=sentence):
        LSTMCausalLM(config)


def test_a_saved_model_is_read_by_a_process_that_has_its_class(tmp_path):
    model = GPT2CausalLM(GPT2Config(50, 16, 1, 2, 8))
    model.build()
    model.save(tmp_path / "model.keras")
    program = (
        "import keras, sys; from kerasgpt import GPT2CausalLM; print(keras.saving.load_model(sys.argv[1]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.keras")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert result.returncode == 0, result.stderr
    assert "GPT2CausalLM" in result.stdout
