"""Prompt tuning: vectors of tokens are those tokens, nothing else learns, and the loss falls."""

import keras
import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation.soft_prompt import read_soft_prompt, save_soft_prompt
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.soft_prompt import SoftPromptCausalLM

RATES = dict.fromkeys(("dropout", "embedding_dropout", "attention_dropout"), 0.0)
CONFIG = GPT2Config(20, 16, 2, 2, 8, initializer_range=0.3, **RATES)
IDS = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def _model(num_tokens=3):
    model = SoftPromptCausalLM(CONFIG, num_tokens)
    model.build()
    model.build()  # again, as every engine that is handed a model does
    return model


def test_vectors_of_tokens_are_those_tokens():
    model, before = _model(), [7, 0, 19]
    table = np.asarray(model.backbone.embedding.token_embedding.embeddings.numpy())
    model.soft_prompt.assign(table[before])
    whole = np.concatenate([np.broadcast_to(before, (2, 3)), IDS], axis=1)
    expected = model.head(model.backbone(whole))[:, 3:]
    np.testing.assert_allclose(model(IDS), expected, atol=1e-5)
    np.testing.assert_allclose(model(inputs_embeds=table[IDS]), expected, atol=1e-5)
    np.testing.assert_allclose(model({"token_ids": IDS}), expected, atol=1e-5)
    mask = np.array([[1] * 5, [1, 1, 1, 0, 0]])
    masked = model(IDS, attention_mask=mask)
    np.testing.assert_allclose(masked[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(masked[1, :3], expected[1, :3], atol=1e-5)


def test_it_begins_with_tokens_drawn_by_seed():
    model = _model()
    table = np.asarray(model.backbone.embedding.token_embedding.embeddings.numpy())
    model.start_from_tokens(1)
    first = model.prompt
    assert all((row == table).all(axis=1).any() for row in first)
    model.start_from_tokens(1)
    np.testing.assert_array_equal(model.prompt, first)
    model.start_from_tokens(2)
    assert (model.prompt != first).any()


def test_only_the_prompt_learns_and_the_loss_falls(tmp_path):
    keras.utils.set_random_seed(0)
    model = _model()
    before = [np.array(variable.numpy()) for variable in model.backbone.weights]
    model.compile(keras.optimizers.Adam(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(IDS[:, :-1], IDS[:, 1:], epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.2
    assert [variable.path.split("/")[-1] for variable in model.trainable_variables] == ["soft_prompt"]
    for variable, value in zip(model.backbone.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    model.save_soft_prompt(tmp_path / "p", "base")
    np.testing.assert_array_equal(read_soft_prompt(tmp_path / "p"), model.prompt)


def test_it_is_saved_and_loaded_as_any_keras_model(tmp_path):
    model = _model()
    model(IDS)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded(IDS), model(IDS), atol=1e-6)


@pytest.mark.parametrize("count", [0, 16])
def test_a_length_that_leaves_nothing_is_a_sentence(count):
    with pytest.raises(UsageError, match=f"of {count} vectors: of this context it may take 1 to 15"):
        SoftPromptCausalLM(CONFIG, count)


def test_positions_and_segments_have_no_place(tmp_path):
    with pytest.raises(UsageError, match="without positions, cache or segments"):
        _model()(IDS, segment_ids=np.zeros_like(IDS))


def test_a_folder_holds_the_model_and_its_prompt(tmp_path):
    model = _model()
    model.save_to_preset(tmp_path / "run" / "model")
    np.testing.assert_array_equal(read_soft_prompt(tmp_path / "run/model/soft_prompt"), model.prompt)
    for source in (tmp_path / "run" / "model", str(tmp_path / "run")):
        loaded = SoftPromptCausalLM.from_preset(source, dropout=0.1)
        np.testing.assert_array_equal(loaded(IDS), model(IDS))
        assert (loaded.num_tokens, loaded.config.dropout) == (3, 0.1)
        assert len(loaded.trainable_variables) == 1


def test_a_new_prompt_goes_before_a_model_that_is_there(tmp_path):
    base = GPT2CausalLM(CONFIG)
    base.save_to_preset(tmp_path)
    model = SoftPromptCausalLM.from_preset(tmp_path, num_tokens=5)
    assert model.prompt.shape == (5, 8)
    np.testing.assert_array_equal(model.backbone(IDS), base.backbone(IDS))
    assert SoftPromptCausalLM.from_preset("gpt-nano", num_tokens=2, vocabulary_size=20).num_tokens == 2
    for source in (tmp_path, "gpt-nano"):
        with pytest.raises(
            UsageError, match="holds no soft_prompt; give a folder that does, or num_tokens of a"
        ):
            SoftPromptCausalLM.from_preset(source, max_sequence_length=16)


def test_a_prompt_of_another_model_is_refused(tmp_path):
    GPT2CausalLM(CONFIG).save_to_preset(tmp_path)
    save_soft_prompt(np.zeros((3, 4), np.float32), tmp_path / "soft_prompt", "another", {})
    with pytest.raises(UsageError, match="soft_prompt: its vectors are 4 wide and the model's 8"):
        SoftPromptCausalLM.from_preset(tmp_path)


def test_another_model_is_not_saved_behind_a_prompt_that_lies_there(tmp_path):
    model, other = _model(), GPT2CausalLM(CONFIG)
    other.build()
    model.save_to_preset(tmp_path)
    model.save_to_preset(tmp_path)  # its own prompt is written anew
    before = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(KerasGPTError, match=r"soft_prompt: is the soft prompt of the model that lies there"):
        other.save_to_preset(tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_ids_or_vectors_are_read_and_a_mask_in_any_form():
    model = SoftPromptCausalLM(GPT2Config(20, 16, 1, 2, 8), 3)
    ids, vectors = np.array([[1, 2, 3]]), np.zeros((1, 3, 8), np.float32)
    for words in ({}, {"token_ids": ids, "inputs_embeds": vectors}):
        with pytest.raises(UsageError, match="reads token_ids or inputs_embeds"):
            model.call(**{"token_ids": None, **words})
    mask = [[1, 1, 0]]
    expected = model(ids, attention_mask=np.array(mask))
    np.testing.assert_array_equal(model(ids, attention_mask=mask), expected)
