import numpy as np
import pytest

from kerasgpt.config import GenerationConfig
from kerasgpt.generation import processors


def kept(logits: np.ndarray) -> list[int]:
    return np.flatnonzero(np.isfinite(logits)).tolist()


def naive_softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def naive_process(logits: np.ndarray, settings: GenerationConfig, seen: set[int]) -> np.ndarray:
    """Token by token, in float64, straight from the papers' definitions."""
    values = logits.astype(np.float64).copy()
    for token in seen:
        penalty = settings.repetition_penalty
        values[token] = values[token] / penalty if values[token] > 0 else values[token] * penalty
    values /= settings.temperature
    ranked = sorted(range(len(values)), key=lambda token: (-values[token], token))
    if 0 < settings.top_k < len(values):
        limit = values[ranked[settings.top_k - 1]]
        values[[token for token in ranked if values[token] < limit]] = -np.inf
    if settings.top_p < 1:
        probabilities, total = naive_softmax(values), 0.0
        for token in ranked:
            if total >= settings.top_p:
                values[token] = -np.inf
            total += probabilities[token]
    if settings.min_p:
        probabilities = naive_softmax(values)
        values[probabilities < settings.min_p * probabilities.max()] = -np.inf
    return values


@pytest.mark.parametrize(
    "words",
    [
        {"top_k": 5},
        {"top_p": 0.7},
        {"min_p": 0.2},
        {"repetition_penalty": 1.7},
        {"temperature": 0.6},
        {"temperature": 1.3, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 0.8},
    ],
    ids=str,
)
def test_process_equals_the_definitions_token_by_token(words: dict) -> None:
    settings = GenerationConfig(**{"temperature": 1.0, **words})
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, (7, 40)).astype(np.float32)
    seen = generator.random((7, 40)) < 0.3
    result = processors.process(logits, settings, seen)
    for row, got in enumerate(result):
        expected = naive_process(logits[row], settings, set(np.flatnonzero(seen[row]).tolist()))
        assert kept(got) == kept(expected)
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_each_row_is_processed_as_if_alone() -> None:
    settings = GenerationConfig(temperature=0.9, top_k=9, top_p=0.8, min_p=0.01)
    logits = np.random.default_rng(2).normal(size=(5, 30)).astype(np.float32)
    together = processors.process(logits, settings)
    assert together.dtype == np.float32
    for row in range(5):
        np.testing.assert_array_equal(together[row], processors.process(logits[row], settings))


def test_nothing_is_changed_in_place() -> None:
    logits = np.arange(6, dtype=np.float32)
    before = logits.copy()
    settings = GenerationConfig(temperature=2.0, top_k=2, top_p=0.5, min_p=0.5, repetition_penalty=2.0)
    processors.process(logits, settings, np.ones(6, bool))
    np.testing.assert_array_equal(logits, before)


def test_greedy_applies_the_penalty_only() -> None:
    logits = np.array([3.0, 2.0, -1.0], np.float32)
    settings = GenerationConfig(top_k=1, top_p=0.1, repetition_penalty=2.0)
    result = processors.process(logits, settings, np.array([True, False, True]))
    assert result.tolist() == [1.5, 2.0, -2.0]


def test_top_k_keeps_ties_with_the_last_one_kept() -> None:
    assert kept(processors.top_k(np.array([1, 5, 5, 9, 5], np.float32), 2)) == [1, 2, 3, 4]


def test_top_k_larger_than_the_vocabulary_keeps_all() -> None:
    assert kept(processors.top_k(np.zeros(4, np.float32), 40)) == [0, 1, 2, 3]


def test_top_p_takes_the_lower_id_first_among_equals() -> None:
    assert kept(processors.top_p(np.zeros(4, np.float32), 0.5)) == [0, 1]


@pytest.mark.parametrize("probability", [1e-6, 0.3])
def test_top_p_never_removes_the_most_probable(probability: float) -> None:
    assert kept(processors.top_p(np.array([0, 8, 1], np.float32), probability)) == [1]


def test_min_p_keeps_what_reaches_its_share_of_the_best() -> None:
    logits = np.log(np.array([0.5, 0.26, 0.24], np.float32))
    assert kept(processors.min_p(logits, 0.5)) == [0, 1]


def test_descending_is_the_stable_order() -> None:
    generator = np.random.default_rng(4)
    extremes = np.array([0, -0.0, -np.inf, np.inf, -1, 1, -0.0, 0, 1e-40, -1e-40, 3e38, -3e38], np.float32)
    for logits in (generator.normal(0, 5, 5000), np.round(generator.normal(size=(4, 300)), 1), extremes):
        expected = np.argsort(-logits.astype(np.float32), axis=-1, kind="stable")
        np.testing.assert_array_equal(processors.descending(logits.astype(np.float32)), expected)


def test_log_softmax_equals_float64() -> None:
    logits = np.random.default_rng(3).normal(0, 20, (3, 5000)).astype(np.float32)
    expected = np.log([naive_softmax(row) for row in logits])
    np.testing.assert_allclose(processors.log_softmax(logits), expected, rtol=1e-6, atol=2e-6)
