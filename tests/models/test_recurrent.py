"""Recurrent models against a naive recurrence, and their ways of computing the same thing."""

import keras
import numpy as np
import pytest

from kerasgpt import GRUCausalLM, LSTMCausalLM, RecurrentConfig
from kerasgpt.errors import UsageError
from kerasgpt.models.causal_lm import load_model
from kerasgpt.training.optimizer import undecayed_variables

IDS = np.random.default_rng(0).integers(0, 290, (3, 11))


def test_logits_equal_a_naive_recurrence(recurrent_folder, naive_recurrence):
    logits = np.asarray(load_model(recurrent_folder)(IDS))
    for row, ids in zip(logits, IDS, strict=True):
        assert np.abs(row - naive_recurrence(recurrent_folder, ids)).max() < 1e-5


def test_steps_with_the_state_equal_the_whole_text(recurrent_folder):
    model = load_model(recurrent_folder)
    whole = np.asarray(model(IDS))
    logits, state = model(IDS[:, :4], cache=model.make_cache(3))
    assert np.abs(np.asarray(logits) - whole[:, :4]).max() < 1e-5
    for column in range(4, IDS.shape[1]):
        logits, state = model(IDS[:, column : column + 1], cache=state)
        assert np.abs(np.asarray(logits)[:, 0] - whole[:, column]).max() < 1e-5


def test_padding_leaves_the_state_alone(recurrent_folder):
    model = load_model(recurrent_folder)
    mask = np.arange(11) < np.array([[11], [4], [7]])
    _, padded = model(IDS, attention_mask=mask, cache=model.make_cache(3))
    for row, length in enumerate(mask.sum(axis=1)):
        _, alone = model(IDS[row : row + 1, :length], cache=model.make_cache(1))
        for layer, own in zip(padded, alone, strict=True):
            for vectors, expected in zip(layer, own, strict=True):
                assert np.abs(np.asarray(vectors)[row] - np.asarray(expected)[0]).max() < 1e-6


def test_it_is_a_keras_model_that_learns_and_is_saved(tmp_path):
    keras.utils.set_random_seed(0)
    model = LSTMCausalLM(RecurrentConfig("lstm", 12, num_layers=1, hidden_dim=16))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(0.05), loss, jit_compile=False)
    ids = np.tile(np.arange(12), (8, 1))
    losses = model.fit(ids[:, :-1], ids[:, 1:], epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.3 * losses[0]
    assert model.count_params() == model.config.num_parameters
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(ids), model(ids))


@pytest.mark.parametrize(("model_class", "cell"), [(LSTMCausalLM, "lstm"), (GRUCausalLM, "gru")])
def test_it_has_a_summary_and_reads_inputs_by_name(model_class, cell, capsys):
    config = RecurrentConfig(cell, vocabulary_size=11, num_layers=1, hidden_dim=8)
    model = model_class(config, dtype="mixed_bfloat16")
    inputs = keras.Input((5,), dtype="int32")
    logits = keras.Model(inputs, model(inputs)).output
    assert (logits.shape, logits.dtype) == ((None, 5, 11), "float32")
    model.summary(expand_nested=True)
    assert f"{config.num_parameters:,}" in capsys.readouterr().out
    ids, mask = np.array([[1, 2, 3]]), np.array([[1, 1, 0]])
    by_name = model({"token_ids": ids, "attention_mask": mask})
    np.testing.assert_array_equal(np.asarray(by_name), np.asarray(model(ids, mask)))


def test_a_class_has_its_own_cell():
    with pytest.raises(UsageError, match="cell gru: a LSTMCausalLM has the cell lstm"):
        LSTMCausalLM(RecurrentConfig("gru"))


def test_biases_do_not_decay(recurrent_folder):
    model = load_model(recurrent_folder)
    undecayed = {id(variable) for variable in undecayed_variables(model)}
    assert undecayed == {id(variable) for variable in model.weights if variable.name == "bias"}
