import itertools

import pytest

from kerasgpt.generation.stopping import StopStrings, fit_prompt


@pytest.mark.parametrize("context", [1, 2, 7, 64])
@pytest.mark.parametrize("max_new_tokens", [0, 1, 5, 100])
def test_a_fitted_prompt_leaves_room(context: int, max_new_tokens: int) -> None:
    for num_tokens in range(1, 3 * context):
        kept = fit_prompt(num_tokens, max_new_tokens, context)
        assert 1 <= kept <= min(num_tokens, context)
        if num_tokens < context:
            assert kept == num_tokens
        elif context > 1:
            assert kept == max(context - max_new_tokens, context // 2)


def run(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    machine = StopStrings(stops)
    text = "".join(machine.push(piece) for piece in pieces) + machine.flush()
    return text, machine.found


def splits(text: str) -> list[list[str]]:
    """Every way to cut a text into pieces."""
    cuts = range(1, len(text))
    chosen = itertools.chain.from_iterable(itertools.combinations(cuts, n) for n in range(len(text)))
    bounds = [[0, *cut, len(text)] for cut in chosen]
    return [[text[a:b] for a, b in itertools.pairwise(points)] for points in bounds]


@pytest.mark.parametrize(
    ("stops", "text"),
    [(["abab"], "xaabab"), (["ab", "ca"], "bcab"), (["\n\n"], "a\nb\n\nc"), (["zz"], "zazb"), ([], "abc")],
)
def test_the_cut_does_not_depend_on_the_pieces(stops: list[str], text: str) -> None:
    starts = [text.find(stop) for stop in stops if stop in text]
    expected = (text[: min(starts)] if starts else text, bool(starts))
    for pieces in splits(text):
        assert run(stops, pieces) == expected


def test_text_that_may_begin_a_stop_string_is_held_back() -> None:
    machine = StopStrings(["<END>"])
    assert [machine.push(piece) for piece in ["one <", "E", "N", "T"]] == ["one ", "", "", "<ENT"]
    assert machine.push("<EN") == ""
    assert machine.flush() == "<EN"
    assert not machine.found


def test_nothing_comes_after_a_stop_string() -> None:
    machine = StopStrings(["b"])
    assert machine.push("abc") == "a"
    assert machine.push("ddd") == ""
    assert machine.flush() == ""
