import numpy as np
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.tasks.base import Outcome
from kerasgpt.tasks.metrics.bootstrap import intervals


def accuracy(counts) -> dict[str, float]:
    return {"acc": counts.get("correct", 0) / counts["examples"], "num_correct": counts.get("correct", 0)}


def outcomes(correct: int, wrong: int) -> list[Outcome]:
    return [Outcome({"examples": 1, "correct": 1})] * correct + [Outcome({"examples": 1})] * wrong


def test_a_share_has_the_interval_of_the_binomial() -> None:
    low, high = intervals(accuracy, outcomes(300, 700), seed=1)["acc"]
    spread = 1.96 * np.sqrt(0.3 * 0.7 / 1000)
    assert low == pytest.approx(0.3 - spread, abs=0.005)
    assert high == pytest.approx(0.3 + spread, abs=0.005)


def test_it_is_the_naive_one_that_draws_examples_and_judges_them_again() -> None:
    values = np.random.default_rng(0).normal(5, 2, (60, 2))
    found = intervals(
        lambda counts: {"ratio": counts["a"] / counts["b"]},
        [Outcome({"a": float(a), "b": float(b)}) for a, b in values],
        seed=7,
        num_resamples=200,
    )
    generator = np.random.default_rng(7)
    naive = []
    for _ in range(200):
        drawn = values[generator.integers(60, size=60)]
        naive.append(drawn[:, 0].sum() / drawn[:, 1].sum())
    assert found["ratio"] == pytest.approx(np.percentile(naive, [2.5, 97.5]).tolist())


def test_the_seed_decides_and_counts_have_none() -> None:
    found = intervals(accuracy, outcomes(10, 20), seed=1)
    assert found == intervals(accuracy, outcomes(10, 20), seed=1)
    assert found != intervals(accuracy, outcomes(10, 20), seed=2)
    assert list(found) == ["acc"]


def test_a_seed_below_0_is_refused() -> None:
    with pytest.raises(UsageError, match="seed is -1: it must be 0 or more"):
        intervals(accuracy, outcomes(1, 1), seed=-1)
