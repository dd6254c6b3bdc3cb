"""The recorded answers find every way in which an engine can differ, and let pass what is equal."""

from dataclasses import replace

import numpy as np
import pytest

from kerasgpt.checkpoints.mapping import assign_arrays, named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.export.parity import compare_ids, compare_step_model, tolerance_of
from kerasgpt.export.reference import PROMPTS, record
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.language_model import KerasStepModel


@pytest.mark.parametrize("full", [True, False])
def test_the_model_equals_itself(recorded, model, language_model, full):
    reference, logits = recorded
    parity = compare_step_model(language_model(KerasStepModel(model)), reference, logits if full else None)
    assert parity.holds, parity.problems
    assert parity.max_logit_error < 1e-5
    assert 0 < parity.max_cached_logit_error < 1e-4
    assert parity.num_tokens_compared == 2 * sum(map(len, reference.continuations))


def test_a_row_that_fills_the_context_does_not_read_on(tokenizer, language_model):
    """It stands at the last position there is while the shorter ones go on."""
    context = max(len(tokenizer.encode(prompt)) for prompt in PROMPTS) + 2
    config = GPT2Config(
        tokenizer.vocabulary_size, max_sequence_length=context, num_layers=1, num_heads=2, hidden_dim=8
    )
    model = GPT2CausalLM(config)
    model.build()
    lm = language_model(KerasStepModel(model))
    reference, logits = record(lm)
    assert min(map(len, reference.continuations)) < max(map(len, reference.continuations))
    parity = compare_step_model(lm, reference, logits)
    assert parity.holds, parity.problems


def test_the_tolerance_is_a_share_of_the_logits_and_in_float32_never_less_than_of_small_ones(recorded):
    reference, logits = recorded
    assert tolerance_of("fp32", replace(reference, spread=0.5)) == 1e-4
    assert tolerance_of("fp32", replace(reference, spread=6.0)) == pytest.approx(6e-4)
    for masked in (1e9, np.inf):  # of more tokens than a spread passes over
        assert tolerance_of("fp32", replace(reference, spread=masked)) == pytest.approx(1e-3)
    assert np.isnan(tolerance_of("fp32", replace(reference, spread=np.nan)))  # so that nothing passes
    size = np.sqrt(np.square(logits[reference.read]).mean())
    shares = [tolerance_of(precision, reference) / size for precision in ("fp16", "int8", "int4")]
    assert shares == sorted(shares)
    assert all(1 / 2 < share / said < 2 for share, said in zip(shares, [0.1, 0.5, 0.5], strict=True))


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
            logits[-1, 0, 0] = np.nan
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
def test_each_fault_is_found(recorded, model, language_model, fault, sentence):
    reference, logits = recorded
    broken = language_model(Broken(model, fault))
    parity = compare_step_model(broken, reference, logits)
    assert not parity.holds
    assert any(sentence in problem for problem in parity.problems), parity.problems


def test_logits_as_wide_as_those_of_large_models_may_differ_by_more(model, language_model):
    """Of GPT-2's own sizes float32 itself is off by more than 1e-4, whatever all logits have in common."""
    arrays = named_arrays(model)
    arrays["transformer.ln_f.weight"] = arrays["transformer.ln_f.weight"] * np.float32(3)
    wide = GPT2CausalLM(model.config)
    assign_arrays(wide, arrays, "memory")
    reference, logits = record(language_model(KerasStepModel(wide)))
    assert 2 < reference.spread < 9
    assert compare_step_model(language_model(KerasStepModel(wide)), reference, logits).holds
    for error, holds in ((0.9, True), (1.1, False)):
        off = logits.copy()
        off[0, 0, 0] += error * 1e-4 * reference.spread
        assert compare_step_model(language_model(KerasStepModel(wide)), reference, off).holds == holds


def test_embeddings_that_no_prompt_reads_count_too(recorded, model, language_model):
    """Of a token that is never read nor among the best, and of a position that no text reaches."""
    reference, _ = recorded
    unlikely = sorted(
        set(range(model.config.vocabulary_size)) - {*reference.ids.flat, *reference.top_ids.flat}
    )
    last = model.config.max_sequence_length - 1
    assert reference.lengths.max() <= last
    for name, row in (("transformer.wte.weight", unlikely[0]), ("transformer.wpe.weight", last)):
        arrays = named_arrays(model)
        arrays[name] = arrays[name].copy()
        arrays[name][row, 3] += 0.05
        other = GPT2CausalLM(model.config)
        assign_arrays(other, arrays, "memory")
        parity = compare_step_model(language_model(KerasStepModel(other)), reference)
        assert not parity.holds
        assert parity.problems[0].startswith("a logit differs by")


def test_a_near_tie_is_exempt_and_counted(recorded):
    reference, _ = recorded
    expected = reference.continuations[1]
    other = [*expected[:3], (expected[3] + 1) % 256, *expected[4:]]
    assert "parts at token 3" in compare_ids(reference, 1, other, 1e-4)[2]
    top = reference.top_logits.copy()
    top[1, reference.prompt_lengths[1] - 1 + 3, 1] = top[1, reference.prompt_lengths[1] - 1 + 3, 0] - 5e-5
    assert compare_ids(replace(reference, top_logits=top), 1, other, 1e-4) == (3, 1, "")


def test_a_continuation_that_ends_early_is_a_difference(recorded):
    reference, _ = recorded
    assert "parts at token 2" in compare_ids(reference, 1, reference.continuations[1][:2], 1e-4)[2]
