"""One row's choice, against the filters and an inverted distribution one after the other."""

import numpy as np
import pytest

from kerasgpt.generation.picking import pick
from kerasgpt.generation.processors import filtered
from kerasgpt.generation_config import GenerationConfig

NUMBERS = np.linspace(0, 1 - 2**-24, 41, dtype=np.float32)
FILTERS = [
    {},
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 5000},
    {"top_p": 0.8},
    {"top_p": 1e-6},
    {"min_p": 0.02},
    {"min_p": 1.0},
    {"typical_p": 0.5},
    {"top_k": 50, "top_p": 0.7},
    {"top_k": 50, "min_p": 0.1},
    {"top_p": 0.7, "min_p": 0.1},
    {"top_k": 50, "top_p": 0.7, "min_p": 0.1, "typical_p": 0.9},
]


def intervals(logits: np.ndarray) -> tuple[list[int], np.ndarray]:
    """The tokens laid end to end, and where each ends, in float64."""
    order = [place for place in np.argsort(-logits, kind="stable").tolist() if logits[place] > -np.inf]
    powers = np.exp(logits[order].astype(np.float64) - logits.max())
    return order, np.cumsum(powers) / powers.sum()


@pytest.mark.parametrize("words", FILTERS, ids=str)
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_choice_is_among_what_the_filters_leave_where_the_number_falls(
    words: dict, temperature: float
) -> None:
    settings = GenerationConfig(temperature=temperature, **words)
    generator = np.random.default_rng(5)
    for scale, digits in ((3, 9), (1, 9), (3, 1)):  # the last with many ties
        row = np.round(generator.normal(0, scale, 3000), digits).astype(np.float32)
        row[generator.random(3000) < 0.1] = -np.inf
        before = row.copy()
        order, ends = intervals(filtered(row, settings))
        for number in NUMBERS:
            place = order.index(pick(row, settings, number))
            assert (ends[place - 1] if place else 0) <= number + 1e-5
            assert ends[place] >= number - 1e-5
        np.testing.assert_array_equal(row, before)


def test_tokens_are_laid_out_by_falling_probability() -> None:
    logits = np.log(np.array([0.125, 0.5, 0.25, 0.125], np.float32))
    points = [0.0, 0.49, 0.51, 0.74, 0.76, 0.87, 0.88, 1 - 2**-24]
    settings = GenerationConfig(temperature=1.0)
    assert [pick(logits, settings, np.float32(point)) for point in points] == [1, 1, 2, 2, 0, 0, 3, 3]


@pytest.mark.parametrize("words", [{}, {"top_k": 5}, {"min_p": 0.5}, {"top_p": 0.999}], ids=str)
def test_a_removed_token_is_never_chosen(words: dict) -> None:
    logits = np.full(1000, -np.inf, np.float32)
    logits[[3, 500]] = 0.0
    settings = GenerationConfig(temperature=1.0, **words)
    assert {pick(logits, settings, number) for number in NUMBERS} == {3, 500}


def test_a_number_beyond_the_rounded_sums_gives_a_token_that_counts() -> None:
    logits = np.full(20_000, -14, np.float32)  # each too small to change the sum that the first begins
    logits[7], logits[8:] = 3, -200
    settings = GenerationConfig(temperature=1.0)
    assert pick(logits, settings, np.float32(1 - 2**-24)) < 8
