"""The Keras engine against a loop without a cache, and Hugging Face's greedy decoding."""

import keras
import numpy as np
import pytest

from kerasgpt.generation.decode import decode
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.language_model import CACHE_COLUMNS, KerasStepModel, open_model
from kerasgpt.tokenizer.bpe import Tokenizer

NO_END = -1  # an id that is never written: generation goes on to its limit


@pytest.fixture
def step_model(golden_folder) -> KerasStepModel:
    return KerasStepModel(GPT2CausalLM.from_preset(golden_folder))


def written(step_model, prompts, max_new_tokens):
    rows = [[] for _ in prompts]
    for tokens in decode(step_model, prompts, GenerationConfig(max_new_tokens=max_new_tokens), NO_END):
        for token in tokens:
            rows[token.row].append(token.id)
    return rows


def test_greedy_ids_equal_hugging_face(step_model, golden):
    lengths = golden["left_mask"].sum(axis=1)
    prompts = [row[-length:].tolist() for row, length in zip(golden["input_ids"], lengths, strict=True)]
    expected = golden["greedy"][:, golden["input_ids"].shape[1] :]
    assert written(step_model, prompts, 16) == expected.tolist()


def test_ragged_batches_equal_a_loop_without_cache(step_model):
    prompts = [[5], [1, 2, 3, 4, 5, 6, 7], [9, 8, 7]]
    expected = []
    for prompt in prompts:
        ids = list(prompt)
        for _ in range(12):
            ids.append(int(np.argmax(step_model.model(np.array([ids]))[0, -1])))
        expected.append(ids[len(prompt) :])
    assert written(step_model, prompts, 12) == expected
    assert [written(step_model, [prompt], 12)[0] for prompt in prompts] == expected


def test_the_cache_grows_when_it_is_full(golden_folder):
    step_model = KerasStepModel(
        GPT2CausalLM(
            GPT2CausalLM.from_preset(golden_folder).config.replace(
                max_sequence_length=3 * CACHE_COLUMNS, num_layers=1
            )
        )
    )
    ids = np.random.default_rng(0).integers(0, 200, (2, 2 * CACHE_COLUMNS))
    state, _ = step_model.prefill(ids[:, :3], np.array([3, 3]))
    for column in range(3, ids.shape[1]):
        state, logits = step_model.step(state, ids[:, column])
    expected = step_model.all_logits(ids, np.full(2, ids.shape[1]))[:, -1]
    assert np.allclose(logits, expected, atol=1e-5)


def test_reordering_keeps_repeats_and_drops_rows(step_model):
    ids, lengths = np.array([[1, 2, 3], [4, 5, 0], [6, 0, 0]]), np.array([3, 2, 1])
    state, _ = step_model.prefill(ids, lengths)
    _, logits = step_model.step(state, np.array([7, 8, 9]))
    order = np.array([2, 0, 2])
    _, reordered = step_model.step(step_model.reorder(state, order), np.array([9, 7, 9]))
    assert np.allclose(reordered, logits[order], atol=1e-6)


def test_a_model_folder_opens_with_its_generation_config(golden_folder, tmp_path, shakespeare):
    model = GPT2CausalLM.from_preset(golden_folder)
    model.save_to_preset(tmp_path)
    Tokenizer.learn([shakespeare], model.config.vocabulary_size).save_to_preset(tmp_path)
    lm = open_model(tmp_path)
    assert lm.settings == GenerationConfig()
    assert lm.max_sequence_length == model.config.max_sequence_length
    assert lm.generate(["some"])[0].num_prompt_tokens > 0


def test_it_computes_in_float32_whatever_the_policy_of_the_process(model_folder):
    expected = open_model(model_folder).score(["ab"], ["cd ef"])
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert open_model(model_folder).score(["ab"], ["cd ef"]) == expected
    finally:
        keras.config.set_dtype_policy(policy)


def test_rows_of_different_states_are_joined(step_model) -> None:
    ids, lengths = np.random.default_rng(3).integers(0, 200, (3, 20)), np.array([20, 4, 11])
    first, _ = step_model.prefill(ids, lengths)
    first, _ = step_model.step(first, np.array([1, 2, 3]))
    second, _ = step_model.prefill(ids[1:2, :9], np.array([9]))
    state, logits = step_model.step(step_model.join([first, second]), np.array([4, 5, 6, 7]))
    texts = [[*ids[row, :length], 1 + row, 4 + row] for row, length in enumerate(lengths)]
    texts.append([*ids[1, :9], 7])
    state = step_model.join(
        [step_model.reorder(state, np.array([0, 3])), step_model.prefill(ids[:1, :2], np.array([2]))[0]]
    )
    _, later = step_model.step(state, np.array([8, 8, 8]))
    after = [[*texts[0], 8], [*texts[3], 8], [*ids[0, :2], 8]]
    for found, text in zip([*logits, *later], [*texts, *after], strict=True):
        alone = step_model.all_logits(np.array([text]), np.array([len(text)]))[0, -1]
        np.testing.assert_allclose(found, alone, atol=1e-5)
