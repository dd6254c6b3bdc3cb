"""Votes: unsealed rightly, counted rightly, and refused where they do not belong together."""

import itertools
import json
import math

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.people.comparison import compare, unseal
from kerasgpt.tasks.people.votes import count, read_votes, sign_test, wilson

SIDES = ({"model": "one"}, {"model": "two"})
TEXTS = [f"one {number}" for number in range(6)], [f"two {number}" for number in range(6)]
COMPARISON = compare([f"prompt {number}" for number in range(6)], TEXTS, SIDES, seed=1)


def export(path, wanted, rater="r1", of=COMPARISON, changes=()):
    """What the page exports of a rater who prefers these sides, in the order shown."""
    first = unseal(of.sealed)["first"]
    choice = {True: "first", False: "second"}
    votes = [
        "tie" if side == "tie" else choice[side == place] for side, place in zip(wanted, first, strict=False)
    ]
    content = {
        "format": "kerasgpt-votes",
        "comparison": of.name,
        "rater": rater,
        "num_pairs": len(first),
        "votes": votes,
        "sealed": of.sealed,
        **dict(changes),
    }
    path.write_text(json.dumps(content))
    return str(path)


def test_a_vote_is_for_the_side_behind_the_text(tmp_path):
    (votes,) = read_votes([export(tmp_path / "v", ["a", "b", "tie", "a"])])
    assert votes.winners == ["a", "b", "tie", "a"]
    content = json.loads((tmp_path / "v").read_text())
    for pair, choice, winner in zip(COMPARISON.pairs, content["votes"], votes.winners, strict=False):
        if choice != "tie":
            assert pair[choice].startswith({"a": "one", "b": "two"}[winner])


def test_one_raters_count(tmp_path):
    result = count(read_votes([export(tmp_path / "v", ["a", "a", "a", "b", "tie"])]))
    assert result["votes"] == {"a": 3, "tie": 1, "b": 1}
    assert result["win_rate"] == pytest.approx(3.5 / 5)
    assert result["interval"] == wilson(0.7, 5)
    assert result["p_value"] == sign_test(3, 1) == pytest.approx(0.625)
    assert (result["num_pairs"], result["num_pairs_judged"], result["num_raters"]) == (6, 5, 1)
    assert (result["a"], result["b"]) == SIDES
    assert result["agreement"] is result["alpha"] is None


def test_a_pair_is_one_observation_however_many_judge_it(tmp_path):
    alike = [export(tmp_path / str(number), ["a", "a", "b"], f"r{number}") for number in range(5)]
    one, five = count(read_votes(alike[:1])), count(read_votes(alike))
    assert (five["interval"], five["p_value"]) == (one["interval"], one["p_value"])
    assert five["votes"] == {"a": 10, "tie": 0, "b": 5}
    assert (five["agreement"], five["alpha"]) == (1.0, 1.0)


def test_raters_who_stop_early_and_differ(tmp_path):
    files = [export(tmp_path / "x", ["a", "b", "tie"], "x"), export(tmp_path / "y", ["a", "a"], "y")]
    result = count(read_votes(files))
    assert result["win_rate"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert result["num_pairs_judged"] == 3
    assert result["agreement"] == 0.5
    assert result["p_value"] == 1.0  # one pair for A, two undecided


def naive_alpha(pairs):
    """Krippendorff's alpha from its coincidence matrix."""
    values = ("a", "b", "tie")
    matrix = dict.fromkeys(itertools.product(values, values), 0.0)
    for pair in pairs:
        for one, other in itertools.permutations(range(len(pair)), 2):
            matrix[pair[one], pair[other]] += 1 / (len(pair) - 1)
    sums = {value: sum(matrix[value, other] for other in values) for value in values}
    total = sum(sums.values())
    different = list(itertools.permutations(values, 2))
    observed = sum(matrix[pair] for pair in different)
    expected = sum(sums[one] * sums[other] for one, other in different) / (total - 1)
    return 1 - observed / expected


def test_alpha_is_krippendorffs(tmp_path):
    judged = {"x": ["a", "b", "tie", "a", "b", "a"], "y": ["a", "a", "tie", "b", "b"], "z": ["b", "a", "tie"]}
    files = [export(tmp_path / rater, wanted, rater) for rater, wanted in judged.items()]
    pairs = [list(filter(None, pair)) for pair in itertools.zip_longest(*judged.values())]
    expected = naive_alpha([pair for pair in pairs if len(pair) > 1])
    assert count(read_votes(files))["alpha"] == pytest.approx(expected)


def test_who_prefers_a_place_is_seen(tmp_path):
    first = unseal(COMPARISON.sealed)["first"]
    result = count(read_votes([export(tmp_path / "v", list(first))]))
    assert (result["first_preferred"], result["win_rate"]) == (1.0, 0.5)
    assert count(read_votes([export(tmp_path / "v", ["tie"])]))["first_preferred"] is None


@pytest.mark.parametrize(("rate", "trials"), [(0.0, 5), (0.3, 10), (0.75, 40), (1.0, 3)])
def test_wilsons_ends_are_where_the_normal_test_just_rejects(rate, trials):
    low, high = wilson(rate, trials)
    assert 0 <= low <= rate <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert abs(rate - end) / math.sqrt(end * (1 - end) / trials) == pytest.approx(1.959964)


def test_the_sign_test_is_binomial():
    assert sign_test(0, 0) == 1.0
    assert sign_test(5, 5) == 1.0
    assert sign_test(0, 8) == sign_test(8, 0) == pytest.approx(2 / 256)


def refusal(paths):
    with pytest.raises(KerasGPTError) as caught:
        read_votes(paths)
    assert paths[-1] in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": "other"}, "not the votes that a page"),
        ({"votes": []}, "no vote yet"),
        ({"votes": ["left"]}, "damaged or changed"),
        ({"votes": ["tie"] * 7}, "damaged or changed"),
        ({"votes": [["tie"]]}, "damaged or changed"),
        ({"votes": None}, "damaged or changed"),
        ({"votes": {"first": 1}}, "damaged or changed"),
        ({"comparison": "0" * 16}, "damaged or changed"),
        ({"sealed": "e30="}, "damaged or changed"),
        ({"sealed": "???"}, "damaged or changed"),
        ({"sealed": 3}, "damaged or changed"),
        ({"rater": None}, "damaged or changed"),
    ],
)
def test_what_was_not_exported_so_is_refused(tmp_path, changes, sentence):
    assert sentence in refusal([export(tmp_path / "v", ["a"], changes=changes)])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot read"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not the votes"),
        pytest.param(b"[" * 100_000, "not JSON", id="too deep"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path, content, sentence):
    path = tmp_path / "v.json"
    if content is not None:
        path.write_bytes(content)
    assert sentence in refusal([str(path)])


def test_votes_of_another_comparison_and_a_rater_given_twice(tmp_path):
    mine = export(tmp_path / "mine", ["a"])
    other = compare(["p"], (["x"], ["y"]), SIDES)
    assert "count each comparison for itself" in refusal([mine, export(tmp_path / "o", ["a"], "r2", other)])
    assert "is in" in refusal([mine, export(tmp_path / "twice", ["b"])])
