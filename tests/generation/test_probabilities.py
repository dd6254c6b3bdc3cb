import numpy as np
import pytest

from kerasgpt.generation import probabilities
from kerasgpt.generation.probabilities import (
    FIRST_HEAD,
    descending,
    first_to_reach,
    heads,
    largest,
    log_softmax,
    logprobs_of,
    powers,
    ranked,
    softmax,
    total,
)


def exact_softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def test_descending_is_the_stable_order() -> None:
    generator = np.random.default_rng(4)
    extremes = np.array([0, -0.0, -np.inf, np.inf, -1, 1, -0.0, 0, 1e-40, -1e-40, 3e38, -3e38], np.float32)
    for logits in (generator.normal(0, 5, 5000), np.round(generator.normal(size=(4, 300)), 1), extremes):
        expected = np.argsort(-logits.astype(np.float32), axis=-1, kind="stable")
        np.testing.assert_array_equal(descending(logits.astype(np.float32)), expected)


def test_they_equal_float64() -> None:
    logits = np.random.default_rng(3).normal(0, 20, (3, 5000)).astype(np.float32)
    expected = np.array([exact_softmax(row) for row in logits])
    np.testing.assert_allclose(softmax(logits), expected, rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(log_softmax(logits), np.log(expected), rtol=1e-6, atol=2e-6)


def test_removed_tokens_have_no_probability() -> None:
    logits = np.array([1, -np.inf, 1], np.float32)
    assert softmax(logits).tolist() == [0.5, 0, 0.5]
    assert log_softmax(logits)[1] == -np.inf


def test_heads_are_the_beginning_of_the_whole_order() -> None:
    logits = np.round(np.random.default_rng(6).normal(size=20_000), 2).astype(np.float32)  # with many ties
    logits[::3] = -np.inf
    whole = np.argsort(-logits, kind="stable")[: np.isfinite(logits).sum()]
    found = list(heads(logits))
    assert len(found) == 3
    assert FIRST_HEAD <= len(found[0]) < len(found[1]) < len(found[2]) == len(whole)
    for head in found:
        np.testing.assert_array_equal(head, whole[: len(head)])
    (small,) = heads(logits[:300])
    np.testing.assert_array_equal(small, np.argsort(-logits[:300], kind="stable")[:200])


def test_a_few_far_above_the_others_are_the_first_head() -> None:
    logits = np.random.default_rng(7).normal(size=20_000).astype(np.float32)
    logits[[5, 700, 19_999]] = [20, 21, 20]
    assert next(heads(logits)).tolist() == [700, 5, 19_999]
    assert len(list(heads(logits))) == 4


def test_the_first_to_reach_a_share_are_as_few_as_can_be() -> None:
    generator = np.random.default_rng(7)
    keys, weights = generator.normal(size=(2, 5000)).astype(np.float32) ** 2
    order = np.argsort(-keys, kind="stable")
    cumulative = np.cumsum(weights[order].astype(np.float64)) / weights.sum(dtype=np.float64)
    for share in (0.0, 0.01, 0.3, 0.9, 0.999):
        places = first_to_reach(keys, weights, share)
        np.testing.assert_array_equal(places, order[: len(places)])
        assert cumulative[len(places) - 1] >= share - 1e-5
        assert len(places) == 1 or cumulative[len(places) - 2] < share + 1e-5
    assert len(first_to_reach(keys, weights, 1.0)) > 4900  # all, but for rounding


def test_logprobs_of_chosen_tokens_are_those_of_all() -> None:
    logits = np.random.default_rng(2).normal(0, 4, (5, 3000)).astype(np.float32)
    logits[0, 7:] = -np.inf
    before, chosen = logits.copy(), np.array([3, 0, 2999, 17, 17])
    expected = log_softmax(logits)[np.arange(5), chosen]
    np.testing.assert_allclose(logprobs_of(logits, chosen), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(logits, before)


def test_the_largest_are_those_that_sorting_puts_first() -> None:
    generator = np.random.default_rng(8)
    for size in (1, 31, 32, 33, 1000, 5003):
        for values in (generator.normal(size=size), np.round(generator.normal(size=size), 1), np.zeros(size)):
            values = values.astype(np.float32)
            values[generator.random(size) < 0.2] = -np.inf
            for count in {1, min(2, size), min(40, size), size // 2 + 1, size}:
                expected = np.flatnonzero(values >= np.sort(values)[-count])
                np.testing.assert_array_equal(largest(values, count), expected)


@pytest.mark.parametrize("has_fast_exp2", [False, True])
def test_powers_are_of_a_temperature(has_fast_exp2: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probabilities, "HAS_FAST_EXP2", has_fast_exp2)
    logits = np.random.default_rng(4).normal(0, 9, (3, 700)).astype(np.float32)
    logits[0, 0] = -np.inf
    before = logits.copy()
    for temperature in (0.3, 1, 2.5):
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        np.testing.assert_allclose(powers(logits, temperature), np.exp(shifted / temperature), 2e-5, 1e-37)
    np.testing.assert_array_equal(logits, before)
    assert powers(logits, out=logits) is logits


@pytest.mark.parametrize("size", [1, 31, 32, 5003, 50257])
def test_the_total_is_the_sum(size: int) -> None:
    weights = np.random.default_rng(size).exponential(size=size).astype(np.float32) ** 4
    np.testing.assert_allclose(total(weights), weights.sum(dtype=np.float64), rtol=5e-7)


def test_ranked_stops_once_the_target_is_passed() -> None:
    logits = np.random.default_rng(9).normal(size=20_000).astype(np.float32)
    weights = np.exp(logits)
    order = np.argsort(-logits, kind="stable")
    for share in (0.001, 0.2, 0.7, 2.0):
        target = np.float32(share * weights.sum())
        places, sums = ranked(logits, weights, target)
        np.testing.assert_array_equal(places, order[: len(places)])
        np.testing.assert_allclose(sums, np.cumsum(weights[places], dtype=np.float64), rtol=1e-5)
        assert sums[-1] > target or len(places) == 20_000
        assert len(places) < 300 or share > 0.001


@pytest.mark.parametrize(
    ("kernels", "is_fast"),
    [
        ({}, False),
        ({"exp2": {}}, False),
        ({"exp2": {"f": {"current": "baseline(SSE)"}}}, False),
        ({"exp2": {"f": {"current": "AVX512_SKX"}}}, True),
    ],
)
def test_numpy_has_a_fast_exp2_only_if_it_says_so(
    kernels: dict, is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probabilities, "opt_func_info", lambda **patterns: kernels)
    assert probabilities._has_fast_exp2() is is_fast


def test_the_log_probability_of_a_token_far_below_or_beyond_all_numbers_is_right():
    logits = np.zeros((5, 64), np.float32)
    logits[0, 5] = 200.0  # 2^x of the difference overflows
    logits[1, 3] = -np.inf
    logits[2] -= 1000.0
    logits[3, 7] = 50.0
    logits[4, 2] = np.nan
    found = logprobs_of(logits, np.array([4, 3, 9, 7, 1]))
    assert found[0] == -200
    assert found[1] == -np.inf
    assert found[2] == pytest.approx(-np.log(64), abs=1e-6)
    assert found[3] == pytest.approx(0, abs=1e-6)
    assert np.isnan(found[4])
