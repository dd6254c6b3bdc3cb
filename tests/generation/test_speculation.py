"""Drafts change how many steps a text takes, never the text."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from kerasgpt.generation.decode import decode
from kerasgpt.generation.rows import Token
from kerasgpt.generation.samplers import seeds_of_rows
from kerasgpt.generation.speculation import LONGEST_PAUSE, Pace, PromptLookup, speculate
from kerasgpt.generation_config import GenerationConfig

END = 256


class Extendable:
    """A rule model that also extends and rewinds, counting its steps."""

    def __init__(self, model) -> None:
        self._model = model
        self.max_sequence_length = model.max_sequence_length
        self.lengths: list[int] = []

    def prefill(self, ids: np.ndarray, lengths: np.ndarray):
        return self._model.prefill(ids, lengths)

    def extend(self, state: list[list[int]], ids: np.ndarray):
        self.lengths.append(ids.shape[1])
        logits = []
        for column in ids.T:
            state, new = self._model.step(state, column)
            logits.append(new)
        return state, np.stack(logits, axis=1)

    def rewind(self, state: list[list[int]], num_tokens: int) -> list[list[int]]:
        return [text[: len(text) - num_tokens] for text in state]


def counting(text: Sequence[int]) -> np.ndarray:
    """0, 1, ..., 9, 0, ... with a slip now and then, and some noise that a sampler can hear."""
    logits = np.random.default_rng(len(text)).normal(0, 1, 257)
    logits[(text[-1] + (2 if len(text) % 17 == 0 else 1)) % 10] += 6
    return logits


def noise(text: Sequence[int]) -> np.ndarray:
    return np.random.default_rng([*text]).normal(0, 3, 257)


@pytest.mark.parametrize("rule", [counting, noise])
@pytest.mark.parametrize(
    "settings",
    [
        GenerationConfig(),
        GenerationConfig(temperature=1.3, top_k=5, seed=3),
        GenerationConfig(repetition_penalty=1.4, no_repeat_ngram_size=3),
        GenerationConfig(max_new_tokens=0),
        GenerationConfig(max_new_tokens=1),
        GenerationConfig(max_new_tokens=500),
    ],
)
@pytest.mark.parametrize("longest", [1, 4, 15])
def test_the_tokens_are_those_of_the_loop(
    rule_model: Callable, rule: Callable, settings: GenerationConfig, longest: int
) -> None:
    model, prompt = rule_model(rule, max_sequence_length=120), [*range(10), *range(10)]
    seeds = seeds_of_rows([settings.seed])
    expected: list[list[Token]] = list(decode(model, [prompt], settings, END))
    asked = replace(settings, prompt_lookup_num_tokens=longest)
    found = list(speculate(Extendable(model), prompt, asked, END, row_seeds=seeds))
    assert found == expected


def test_a_text_that_repeats_itself_takes_few_steps_of_even_length(rule_model: Callable) -> None:
    model = Extendable(rule_model(counting, max_sequence_length=200))
    settings = GenerationConfig(max_new_tokens=100, prompt_lookup_num_tokens=15)
    tokens = list(speculate(model, [*range(10)] * 2, settings, END, row_seeds=seeds_of_rows([0])))
    assert len(tokens) == 100
    assert len(model.lengths) < 40
    assert {length for length in model.lengths if length % 2} <= {1}


def test_a_text_that_does_not_is_read_one_by_one(rule_model: Callable) -> None:
    model = Extendable(rule_model(lambda text: np.eye(257)[len(text) * 7 % 250], max_sequence_length=300))
    settings = GenerationConfig(max_new_tokens=200, prompt_lookup_num_tokens=15)
    list(speculate(model, [1, 2, 1, 2], settings, END, row_seeds=seeds_of_rows([0])))
    assert set(model.lengths) == {1}


def test_end_of_text_and_stop_strings_end_it_within_a_draft(rule_model: Callable) -> None:
    model, prompt = rule_model(counting), [*range(10)] * 2
    settings = GenerationConfig(max_new_tokens=40, prompt_lookup_num_tokens=15)
    seeds = seeds_of_rows([0])
    stop = {"ends_text": lambda row, index: index == 8, "row_seeds": seeds}
    found = list(speculate(Extendable(model), prompt, settings, END, **stop))
    assert [token.id for (token,) in found] == [*range(9)]
    assert found[-1][0].finish_reason == "stop"
    found = list(speculate(Extendable(model), prompt, settings, 8, row_seeds=seeds))
    assert found[-1][0].finish_reason == "stop"
    assert [token.id for (token,) in found] == [*range(9)]


def test_the_longest_match_counts_and_then_the_latest() -> None:
    assert PromptLookup([5, 1, 2, 3, 7, 1, 2, 8, 3, 1, 2]).propose(1) == [8]
    assert PromptLookup([5, 1, 2, 3, 7, 1, 2, 8, 5, 1, 2]).propose(2) == [3, 7]
    assert PromptLookup([1, 2, 3]).propose(4) == []
    assert PromptLookup([]).propose(4) == []


def test_drafts_grow_with_success_and_pause_after_failure() -> None:
    pace = Pace(20)
    lengths = []
    for _ in range(4):
        lengths.append(pace.next())
        pace.record(lengths[-1], lengths[-1])
    assert lengths == [3, 7, 15, 15]
    waits = []
    for _ in range(9):
        wait = 0
        while not (length := pace.next()):
            wait += 1
        pace.record(length, 0)
        waits.append(wait)
    assert waits == [0, 1, 3, 7, 15, 31, 63, LONGEST_PAUSE, LONGEST_PAUSE]
    assert length == 1
