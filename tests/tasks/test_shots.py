from collections import Counter

import pytest

from kerasgpt.errors import UsageError
from kerasgpt.tasks.files.labelled import Labelled
from kerasgpt.tasks.shots import ShotPool, ShotTemplate, fitted_prompt
from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary

TEMPLATE = ShotTemplate("Q: {input}\nA: {output}\n\n")
BYTES = Tokenizer(learned_vocabulary([]), [])


def examples(**labels: int) -> list[Labelled]:
    return [
        Labelled(f"{label} {number}", (label,), "here") for label, n in labels.items() for number in range(n)
    ]


def test_a_template_takes_texts_as_they_are() -> None:
    assert TEMPLATE.shot("{output} {x}", "{input}") == "Q: {output} {x}\nA: {input}\n\n"
    assert TEMPLATE.stop == "\n"
    tight = ShotTemplate("{input} => {output} ;; ")
    assert (tight.question("a"), tight.answer("b"), tight.stop) == ("a =>", " b", " ;; ")


@pytest.mark.parametrize("text", ["{input}", "{output}", "{output}{input}", "{input}{input}{output}", ""])
def test_a_template_needs_both_sides_in_order(text: str) -> None:
    with pytest.raises(UsageError, match="it must have {input} and then {output}, once each"):
        ShotTemplate(text)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, 9])
def test_labels_come_equally_often(count: int) -> None:
    pool = ShotPool(examples(a=50, b=9, c=4), ["a", "b", "c"], seed=3)
    for number in range(30):
        drawn = pool.draw(count, Labelled("?", ("a",), "here"), number)
        times = Counter(each.outputs[0] for each in drawn)
        assert len(drawn) == len({each.input for each in drawn}) == count
        assert max(times.values()) - min(times[label] for label in "abc") <= 1


def test_each_place_and_each_example_is_drawn_alike() -> None:
    pool = ShotPool(examples(a=4, b=4), ["a", "b"], seed=0)
    drawn = [pool.draw(2, Labelled("?", ("a",), "here"), number) for number in range(2000)]
    firsts = Counter(first.input for first, _ in drawn)
    assert set(firsts) == {each.input for each in examples(a=4, b=4)}
    assert all(abs(times - 250) < 75 for times in firsts.values())  # 5 standard deviations


def test_without_labels_they_are_a_sample() -> None:
    pool = ShotPool(examples(a=90, b=10), [], seed=0)
    drawn = [each for n in range(200) for each in pool.draw(5, Labelled("?", ("a",), "here"), n)]
    assert 0.85 < sum(each.outputs == ("a",) for each in drawn) / len(drawn) < 0.95


def test_fewer_shots_are_the_first_of_more_and_the_seed_decides() -> None:
    question = Labelled("?", ("a",), "here")
    pool = ShotPool(examples(a=50, b=50), ["a", "b"], seed=3)
    assert pool.draw(3, question, 5) == pool.draw(8, question, 5)[:3]
    assert pool.draw(8, question, 5) != pool.draw(8, question, 6)
    assert pool.draw(8, question, 5) != ShotPool(examples(a=50, b=50), ["a", "b"], seed=4).draw(
        8, question, 5
    )
    assert pool.draw(0, question, 5) == ()


def test_the_question_itself_is_never_shown() -> None:
    pool = ShotPool(examples(a=3), ["a"], seed=0)
    for number in range(20):
        drawn = pool.draw(9, Labelled("a 1", ("a",), "here"), number)
        assert sorted(each.input for each in drawn) == ["a 0", "a 2"]


def test_shots_give_way_from_the_first_on_and_the_question_never() -> None:
    shots = examples(a=3)
    question = TEMPLATE.question("who")
    whole = "".join(TEMPLATE.shot(each.input, each.outputs[0]) for each in shots) + question
    for most, dropped in [(1000, 0), (len("go " + whole), 0), (len("go " + whole) - 1, 1)]:
        found = fitted_prompt(BYTES, TEMPLATE, "go ", shots, "who", most)
        assert found is not None
        assert found.num_dropped == dropped
        kept = "".join(TEMPLATE.shot(each.input, each.outputs[0]) for each in shots[dropped:])
        assert found.text == "go " + kept + question
    only = fitted_prompt(BYTES, TEMPLATE, "", shots, "who", len(question))
    assert (only.text, only.num_dropped) == (question, 3)
    assert fitted_prompt(BYTES, TEMPLATE, "", shots, "who", len(question) - 1) is None
