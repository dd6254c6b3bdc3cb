import dataclasses

import numpy as np
import pytest

from kerasgpt.generation.processors import process
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import GenerationConfig

END = 39
LOGITS = np.random.default_rng(1).normal(0, 3, (6, 40)).astype(np.float32)
TEXTS = [Text(np.random.default_rng(n).integers(0, 40, 4 + 3 * n), 2 + n) for n in range(6)]


def kept(logits: np.ndarray) -> list[int]:
    return np.flatnonzero(np.isfinite(logits)).tolist()


def naive(logits: np.ndarray, settings: GenerationConfig, text: Text) -> np.ndarray:
    """One row in float64, each setting in its turn, straight from the definitions."""
    values = logits.astype(np.float64)
    ids, written = text.ids.tolist(), text.continuation.tolist()
    for token, bias in settings.logit_bias.items():
        values[token] += bias
    for token in set(ids):
        penalty = settings.repetition_penalty
        values[token] = values[token] / penalty if values[token] > 0 else values[token] * penalty
    for token in set(written):
        values[token] -= settings.presence_penalty + settings.frequency_penalty * written.count(token)
    for token in range(len(values)):
        size, longer = settings.no_repeat_ngram_size, [*ids, token]
        ngrams = [tuple(longer[n : n + size]) for n in range(len(longer) - size + 1)]
        is_repeated = size > 0 and ngrams.count(ngrams[-1]) > 1
        is_bad = any(tuple(longer[-len(word) :]) == word for word in settings.bad_words_ids)
        minima = [(written, settings.min_new_tokens), (ids, settings.min_length)]
        is_early = next((len(tokens) < minimum for tokens, minimum in minima if minimum), False)
        is_other = settings.allowed_token_ids and token not in settings.allowed_token_ids
        if is_repeated or is_bad or (is_early and token == END) or is_other:
            values[token] = -np.inf
    if settings.is_greedy:
        return values
    values /= settings.temperature
    shares = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
    ranked = np.argsort(-values, kind="stable").tolist()
    before = {token: sum(shares[other] for other in ranked[:n]) for n, token in enumerate(ranked)}
    for n, token in enumerate(ranked):
        if (settings.top_k and n >= settings.top_k) or before[token] >= settings.top_p:
            values[token] = -np.inf
    return values


MANY = {
    "repetition_penalty": 1.7,
    "presence_penalty": 0.6,
    "frequency_penalty": 0.4,
    "no_repeat_ngram_size": 2,
    "bad_words_ids": ((5,), (int(TEXTS[0].ids[-1]), 7)),
    "logit_bias": {3: 1.5, 39: 9.0},
    "min_new_tokens": 6,
    "min_length": 9,
    "allowed_token_ids": tuple(range(0, 40, 1)),
}


@pytest.mark.parametrize(
    "words",
    [
        {},
        *[{name: value} for name, value in MANY.items()],
        {"allowed_token_ids": (1, 2, 30), "repetition_penalty": 0.8},
        MANY,
        {"temperature": 0.7, "top_k": 12},
        {"temperature": 1.3, "top_p": 0.8},
        {"temperature": 0.9, **MANY, "top_k": 9},
    ],
    ids=lambda words: "+".join(words) or "nothing",
)
def test_each_row_is_processed_as_defined_and_as_if_alone(words: dict) -> None:
    settings = GenerationConfig(**words)
    before = LOGITS.copy()
    together = process(LOGITS, settings, TEXTS, END)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(LOGITS, before)  # nothing in place
    for row, text, got in zip(LOGITS, TEXTS, together, strict=True):
        expected = naive(row, settings, text)
        assert kept(got) == kept(expected)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(process(row[None], settings, [text], END)[0], got)


@pytest.mark.parametrize(
    "words",
    [{"top_p": 0.5}, {"min_p": 0.3}, {"typical_p": 0.4}, {"top_k": 1}],
    ids=lambda words: next(iter(words)),
)
def test_filters_apply_when_sampling_and_are_idle_when_greedy(words: dict) -> None:
    assert process(LOGITS, GenerationConfig(**words), TEXTS, END) is LOGITS
    sampled = process(LOGITS, GenerationConfig(temperature=1.0, **words), TEXTS, END)
    assert all(0 < len(kept(row)) < 40 for row in sampled)


def test_filters_come_one_after_the_other() -> None:
    settings = GenerationConfig(temperature=2.0, top_k=30, top_p=0.97, min_p=0.01, typical_p=0.9)
    logits = LOGITS
    for name in ("top_k", "top_p", "min_p", "typical_p"):
        temperature = 2.0 if name == "top_k" else 1.0
        alone = GenerationConfig(temperature=temperature, **{name: getattr(settings, name)})
        logits = process(logits, alone, TEXTS, END)
    np.testing.assert_array_equal(process(LOGITS, settings, TEXTS, END), logits)


def test_the_minimum_forbids_end_of_text_and_then_lets_it_through() -> None:
    settings = GenerationConfig(min_new_tokens=8)
    has_end = [END in kept(row) for row in process(LOGITS, settings, TEXTS, END)]
    assert has_end == [len(text.continuation) >= 8 for text in TEXTS]
    longer = dataclasses.replace(settings, min_new_tokens=0, min_length=12)
    has_end = [END in kept(row) for row in process(LOGITS, longer, TEXTS, END)]
    assert has_end == [len(text.ids) >= 12 for text in TEXTS]


@pytest.mark.parametrize(("new", "whole"), [(2, 100), (100, 2)])
def test_of_two_minima_that_of_new_tokens_counts(new: int, whole: int) -> None:
    settings = GenerationConfig(min_new_tokens=new, min_length=whole)
    has_end = [END in kept(row) for row in process(LOGITS, settings, TEXTS, END)]
    assert has_end == [len(text.continuation) >= new for text in TEXTS]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_where_nothing_is_left_end_of_text_is(temperature: float) -> None:
    settings = GenerationConfig(temperature=temperature, allowed_token_ids=(4,), bad_words_ids=((4,),))
    assert [kept(row) for row in process(LOGITS, settings, TEXTS, END)] == [[END]] * 6
