import pytest

from kerasgpt.tasks.metrics.squad import answer_counts, answer_figures, f1, normalised


@pytest.mark.parametrize(
    ("one", "other", "is_exact", "wanted"),
    [
        ("The Denver Broncos!", "denver broncos", True, 1.0),
        ("the U.S.", "US", True, 1.0),
        ("an apple a day", "apple day", True, 1.0),
        ("theatre", "atre", False, 0.0),  # an article is a word
        ("twenty-one", "twenty one", False, 0.0),
        ("two two", "two", False, 2 / 3),
        ("Santa Clara", "in Santa Clara, California", False, 2 * 2 / (2 + 4)),
        ("", "x", False, 0.0),
        ("naïve — yes", "naïve yes", False, 2 * 2 / (3 + 2)),  # a dash beyond ASCII stays
    ],
)
def test_squads_rules(one, other, is_exact, wanted):
    assert (normalised(one) == normalised(other)) == is_exact
    assert f1(one, other) == pytest.approx(wanted)


def test_the_best_of_the_right_answers_counts():
    counts = answer_counts("Santa Clara", ["California", "Santa Clara, California", "santa clara"])
    assert counts == {"exact": 1.0, "f1": 1.0, "answers": 1}
    assert answer_figures({"exact": 1, "f1": 1.5, "answers": 4}) == {"exact_match": 25, "f1": 37.5}
    assert answer_figures({}) == {"exact_match": 0, "f1": 0}
