import pytest

from kerasgpt.tasks.base import Outcome, totals
from kerasgpt.tasks.metrics.rouge import rouge_counts, rouge_figures


def test_figures_are_those_counted_by_hand():
    # 3 of 4 words and 1 of 3 pairs are common with 3 and 2; in order stand "the cat", not "sat".
    figures = rouge_figures(rouge_counts("sat then the cat", ["the cat sat"]))
    assert figures["rouge_1"] == pytest.approx(100 * 2 * 3 / (4 + 3))
    assert figures["rouge_2"] == pytest.approx(100 * 2 * 1 / (3 + 2))
    assert figures["rouge_l"] == pytest.approx(100 * 2 * 2 / (4 + 3))


def test_words_are_stemmed_and_the_nearest_reference_counts():
    one = rouge_counts("Jumping foxes", ["no such thing", "jumped fox"])
    assert one == {"rouge_1": 1.0, "rouge_2": 1.0, "rouge_l": 1.0, "summaries": 1}
    both = totals([Outcome(one), Outcome(rouge_counts("nothing", ["else"]))])
    assert rouge_figures(both) == {"rouge_1": 50, "rouge_2": 50, "rouge_l": 50}
    assert rouge_figures({}) == {"rouge_1": 0, "rouge_2": 0, "rouge_l": 0}
