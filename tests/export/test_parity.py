"""The recorded answers find every way in which an engine can differ, and let pass what is equal."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from kerasgpt.config import GenerationConfig, GPT2Config
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.parity import PROMPTS, Reference, compare_ids, compare_step_model, record
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.language_model import KerasStepModel
from kerasgpt.tokenizer.training import learn

SETTINGS = GenerationConfig(max_new_tokens=8)


@pytest.fixture(scope="module")
def tokenizer():
    return learn(PROMPTS, 280, minimum_frequency=1)


@pytest.fixture(scope="module")
def model(tokenizer):
    keras.utils.set_random_seed(0)
    config = GPT2Config(
        tokenizer.vocabulary_size,
        max_sequence_length=128,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        initializer_range=0.5,
    )
    model = GPT2CausalLM(config)
    model.build()
    return model


def language_model(model, tokenizer) -> StepLanguageModel:
    return StepLanguageModel(KerasStepModel(model), tokenizer, SETTINGS)


@pytest.fixture(scope="module")
def recorded(model, tokenizer):
    return record(language_model(model, tokenizer))


def test_the_reference_holds_what_the_model_answers(recorded, model, tokenizer):
    reference, logits = recorded
    for row, prompt in enumerate(PROMPTS):
        generation = language_model(model, tokenizer).generate([prompt])[0]
        assert reference.continuations[row] == generation.token_ids
        assert reference.texts[row] == generation.text
        length = reference.lengths[row]
        alone = np.asarray(model(reference.ids[row : row + 1, :length]))[0]
        assert np.allclose(logits[row, :length], alone, atol=1e-5)
    assert np.array_equal(reference.top_ids[..., 0], logits.argmax(axis=-1))
    assert (reference.margins >= 0).all()


def test_it_survives_the_disk(recorded, tmp_path):
    reference, _ = recorded
    reference.save(tmp_path / "parity.npz")
    loaded = Reference.load(tmp_path / "parity.npz")
    assert np.array_equal(loaded.ids, reference.ids)
    assert np.array_equal(loaded.top_logits, reference.top_logits)
    assert (loaded.texts, loaded.prompts, loaded.settings) == (
        reference.texts,
        reference.prompts,
        reference.settings,
    )


@pytest.mark.parametrize("full", [True, False])
def test_the_model_equals_itself(recorded, model, tokenizer, full):
    reference, logits = recorded
    parity = compare_step_model(language_model(model, tokenizer), reference, logits if full else None)
    assert parity.holds, parity.problems
    assert parity.max_logit_error < 1e-5
    assert 0 < parity.max_cached_logit_error < 1e-4
    assert parity.num_tokens_compared == 2 * sum(map(len, reference.continuations))


def test_a_row_that_fills_the_context_does_not_read_on(tokenizer):
    """It stands at the last position there is while the shorter ones go on."""
    context = max(len(tokenizer.encode(prompt)) for prompt in PROMPTS) + 2
    config = GPT2Config(
        tokenizer.vocabulary_size, max_sequence_length=context, num_layers=1, num_heads=2, hidden_dim=8
    )
    model = GPT2CausalLM(config)
    model.build()
    lm = language_model(model, tokenizer)
    reference, logits = record(lm)
    assert min(map(len, reference.continuations)) < max(map(len, reference.continuations))
    parity = compare_step_model(lm, reference, logits)
    assert parity.holds, parity.problems


class Broken(KerasStepModel):
    """An engine with one fault."""

    def __init__(self, model, fault):
        super().__init__(model)
        self.fault = fault

    def all_logits(self, ids, lengths):
        logits = super().all_logits(ids, lengths)
        if self.fault == "a logit off":
            logits[0, 0, 0] += 1e-3
        if self.fault == "not a number":
            logits[1, 0, 0] = np.nan
        return logits

    def step(self, state, ids):
        if self.fault == "not a number with the cache":
            state, logits = super().step(state, ids)
            return state, np.full_like(logits, np.nan)
        if self.fault == "positions stand still":
            state = replace(state, lengths=state.lengths - 1)
            state, logits = super().step(state, ids)
            return replace(state, lengths=state.lengths + 1), logits
        return super().step(state, ids)

    def prefill(self, ids, lengths):
        if self.fault == "padding is read":
            lengths = np.full_like(lengths, ids.shape[1])
        return super().prefill(ids, lengths)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("a logit off", "a logit differs by 0.001"),
        ("not a number", "a logit differs by nan"),
        ("not a number with the cache", "with the cache, a logit differs by nan"),
        ("positions stand still", "with the cache"),
        ("padding is read", "in a batch: greedy decoding parts"),
    ],
)
def test_each_fault_is_found(recorded, model, tokenizer, fault, sentence):
    reference, logits = recorded
    broken = StepLanguageModel(Broken(model, fault), tokenizer, SETTINGS)
    parity = compare_step_model(broken, reference, logits)
    assert not parity.holds
    assert any(sentence in problem for problem in parity.problems), parity.problems


def test_a_near_tie_is_exempt_and_counted(recorded):
    reference, _ = recorded
    expected = reference.continuations[1]
    other = [*expected[:3], (expected[3] + 1) % 256, *expected[4:]]
    assert "parts at token 3" in compare_ids(reference, 1, other)[2]
    top = reference.top_logits.copy()
    top[1, reference.prompt_lengths[1] - 1 + 3, 1] = top[1, reference.prompt_lengths[1] - 1 + 3, 0] - 5e-5
    assert compare_ids(replace(reference, top_logits=top), 1, other) == (3, 1, "")


def test_a_continuation_that_ends_early_is_a_difference(recorded):
    reference, _ = recorded
    assert "parts at token 2" in compare_ids(reference, 1, reference.continuations[1][:2])[2]


def test_damaged_answers_are_refused(tmp_path):
    (tmp_path / "parity.npz").write_bytes(b"no archive")
    with pytest.raises(KerasGPTError, match="cannot read the recorded answers"):
        Reference.load(tmp_path / "parity.npz")
