"""Rows by weight: their proportions, and where each comes from."""

import itertools

import numpy as np
import pytest

from kerasgpt.data.mixture import Mixture, require_weights
from kerasgpt.errors import UsageError

WEIGHTS = [(1,), (1, 1), (0.7, 0.3), (3, 0, 1), (0, 1), (1, 0), (5, 2, 2, 1), (1e-3, 1, 1e3), (0.1,) * 10]


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_the_rows_of_each_source_are_counted_one_by_one(weights):
    mixture = Mixture(weights)
    seen = [0] * len(weights)
    for row in range(3000):
        source, number = mixture.locate(row)
        assert number == seen[source]
        seen[source] += 1


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("first", [0, 12_345_678_901])
def test_each_source_has_its_share_of_every_stretch(weights, first):
    mixture = Mixture(weights)
    sources = [mixture.locate(row)[0] for row in range(first, first + 2000)]
    for source, weight in enumerate(weights):
        for start, stop in itertools.pairwise([0, 10, 64, 700, 2000]):
            share = weight / sum(weights) * (stop - start)
            assert abs(sources[start:stop].count(source) - share) < 1 + len(weights) / 2
            if not weight:
                assert source not in sources


def test_a_row_is_found_without_those_before_it():
    mixture = Mixture((5, 2, 2, 1))
    source, number = mixture.locate(10**15)
    assert number == pytest.approx(10**15 * (0.5, 0.2, 0.2, 0.1)[source], rel=1e-6)


@pytest.mark.parametrize(
    "weights", [(1, -1), (0, 0), (1, float("nan")), (1, float("inf")), (1e308, 1e308)], ids=str
)
def test_what_is_no_weight_is_refused(weights):
    with pytest.raises(UsageError, match="each must be a number of 0 or more, one more than 0"):
        require_weights(weights, 2)


def test_there_is_one_weight_for_each_source_or_none_at_all():
    require_weights((), 2)
    require_weights((1, 2), 2)
    require_weights(np.array([1.0, 2.0]), 2)
    with pytest.raises(UsageError, match="2 paths and 1 weights: give one weight for each path"):
        require_weights((1,), 2)
