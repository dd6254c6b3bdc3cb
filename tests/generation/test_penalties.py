import numpy as np
import pytest

from kerasgpt.generation import penalties

LOGITS = np.random.default_rng(2).normal(0, 3, 20).astype(np.float32)
TEXT = np.array([3, 7, 3, 0, 19, 3, 7])


@pytest.mark.parametrize("penalty", [0.5, 1.3, 1e9])
def test_repetition_divides_the_positive_and_multiplies_the_negative(penalty: float) -> None:
    got = penalties.repetition_penalty(LOGITS, TEXT, penalty)
    for token in range(20):
        expected = float(LOGITS[token])
        if token in TEXT:
            expected = expected / penalty if expected > 0 else expected * penalty
        assert got[token] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("presence", "frequency"), [(0.5, 0.0), (0.0, 0.3), (-1.0, 2.0)])
def test_occurrences_cost_once_and_each_time(presence: float, frequency: float) -> None:
    got = penalties.occurrence_penalty(LOGITS, TEXT, presence, frequency)
    for token in range(20):
        count = TEXT.tolist().count(token)
        expected = float(LOGITS[token]) - count * frequency - (count > 0) * presence
        assert got[token] == pytest.approx(expected, rel=1e-6)


def test_bias_is_added() -> None:
    got = penalties.logit_bias(LOGITS, {4: 2.5, 19: -100.0})
    assert (got - LOGITS)[[4, 19]] == pytest.approx([2.5, -100.0], abs=1e-5)
    assert np.flatnonzero(got != LOGITS).tolist() == [4, 19]


def test_an_empty_text_costs_nothing() -> None:
    nothing = np.array([], np.int64)
    np.testing.assert_array_equal(penalties.repetition_penalty(LOGITS, nothing, 2.0), LOGITS)
    np.testing.assert_array_equal(penalties.occurrence_penalty(LOGITS, nothing, 1.0, 1.0), LOGITS)


def test_removed_tokens_stay_removed_and_nothing_changes_in_place() -> None:
    logits = LOGITS.copy()
    logits[3] = -np.inf
    before = logits.copy()
    assert penalties.repetition_penalty(logits, TEXT, 2.0)[3] == -np.inf
    assert penalties.occurrence_penalty(logits, TEXT, 1.0, 1.0)[3] == -np.inf
    assert penalties.logit_bias(logits, {3: 9.0})[3] == -np.inf
    np.testing.assert_array_equal(logits, before)
