import numpy as np
import pytest

from kerasgpt.generation import filters

LOGITS = np.random.default_rng(1).normal(0, 3, (7, 40)).astype(np.float32)


def kept(logits: np.ndarray) -> list[int]:
    return np.flatnonzero(np.isfinite(logits)).tolist()


def probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


# The papers' definitions in float64, token by token: which tokens of a row are kept.


def first_k(logits: np.ndarray, count: int) -> set[int]:
    return set(sorted(range(len(logits)), key=lambda token: -logits[token])[:count])


def nucleus(logits: np.ndarray, probability: float) -> set[int]:
    found, total = set(), 0.0
    for token in np.argsort(-logits):
        if total >= probability:
            break
        found.add(int(token))
        total += probabilities(logits)[token]
    return found


def near_the_best(logits: np.ndarray, ratio: float) -> set[int]:
    shares = probabilities(logits)
    return {token for token in range(len(logits)) if shares[token] >= ratio * shares.max()}


def typical(logits: np.ndarray, probability: float) -> set[int]:
    shares = probabilities(logits)
    entropy = -sum(share * np.log(share) for share in shares if share)
    found, total = set(), 0.0
    with np.errstate(divide="ignore"):
        distances = np.abs(-np.log(shares) - entropy)
    for token in np.argsort(distances):
        if total >= probability:
            break
        found.add(int(token))
        total += shares[token]
    return found


CASES = [
    (filters.top_k, first_k, [1, 5, 39, 40, 1000]),
    (filters.top_p, nucleus, [1e-6, 0.3, 0.7, 0.99]),
    (filters.min_p, near_the_best, [0.0, 0.01, 0.2, 1.0]),
    (filters.typical_p, typical, [1e-6, 0.2, 0.5, 0.9, 0.99]),
]


@pytest.mark.parametrize(
    ("ours", "naive", "amounts"), CASES, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_filter_keeps_what_its_definition_says(ours, naive, amounts) -> None:
    for amount in amounts:
        filtered = ours(LOGITS, amount)
        assert filtered.dtype == np.float32
        for row, got in zip(LOGITS, filtered, strict=True):
            assert set(kept(got)) == naive(row, amount)
            assert got[kept(got)].tolist() == row[kept(got)].tolist()
            np.testing.assert_array_equal(ours(row, amount), got)  # alone as among others


@pytest.mark.parametrize(
    ("ours", "naive", "amounts"), CASES, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_is_removed_stays_removed(ours, naive, amounts) -> None:
    logits = LOGITS[0].copy()
    logits[::3] = -np.inf
    for amount in amounts:
        left = kept(ours(logits, amount))
        assert left
        assert all(token % 3 for token in left)


@pytest.mark.parametrize(
    ("ours", "naive", "amounts"), CASES, ids=lambda value: getattr(value, "__name__", "")
)
def test_nothing_is_changed_in_place(ours, naive, amounts) -> None:
    before = LOGITS.copy()
    for amount in amounts:
        ours(LOGITS, amount)
    np.testing.assert_array_equal(LOGITS, before)


def test_temperature_divides() -> None:
    assert filters.temperature(np.array([1, -2], np.float32), 0.5).tolist() == [2, -4]


def test_top_k_keeps_ties_with_the_last_one_kept() -> None:
    assert kept(filters.top_k(np.array([1, 5, 5, 9, 5], np.float32), 2)) == [1, 2, 3, 4]


def test_top_p_takes_the_lower_id_first_among_equals() -> None:
    assert kept(filters.top_p(np.zeros(4, np.float32), 0.5)) == [0, 1]


def test_min_p_keeps_what_reaches_its_share_of_the_best() -> None:
    logits = np.log(np.array([0.5, 0.26, 0.24], np.float32))
    assert kept(filters.min_p(logits, 0.5)) == [0, 1]


def test_typical_may_remove_the_most_probable() -> None:
    logits = np.log(np.array([0.4, *[0.1] * 6], np.float32))  # information 0.9 and 2.3, entropy 1.7
    assert kept(filters.typical_p(logits, 0.5)) == [1, 2, 3, 4, 5, 6]
