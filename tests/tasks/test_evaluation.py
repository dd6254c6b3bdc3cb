from dataclasses import dataclass

import pytest

from kerasgpt.errors import UsageError
from kerasgpt.tasks.base import Outcome
from kerasgpt.tasks.evaluation import evaluate_task


@dataclass(frozen=True)
class Word:
    text: str
    place: str = "here"


@dataclass(frozen=True)
class Lengths:
    """A task of a few lines: how long a word is."""

    name = "lengths"

    def read(self, paths, lm):
        return [Word(path) for path in paths]

    def size(self, example):
        return len(example.text)

    def answer(self, lm, examples):
        lm.append([each.text for each in examples])
        return [Outcome({"examples": 1, "letters": len(each.text)}, {"text": each.text}) for each in examples]

    def metrics(self, counts):
        return {"mean": counts["letters"] / counts["examples"], "num_letters": counts["letters"]}

    def baselines(self, examples):
        return {"nothing": [Outcome({"examples": 1, "letters": 0}) for _ in examples]}


WORDS = ["a", "four", "bb", "eight888", "ccc", "dddd", ""]


def test_examples_of_like_length_are_answered_together_and_come_in_order() -> None:
    asked, told = [], []
    task = Lengths()
    result = evaluate_task(task, asked, task.read(WORDS, None), batch_size=3, progress=told.append)
    assert asked == [["eight888", "four", "dddd"], ["ccc", "bb", "a"], [""]]
    assert [outcome.details["text"] for outcome in result.outcomes] == WORDS
    assert told == [0, 3, 6, 7]
    assert result.summary.metrics == {"mean": 22 / 7, "num_letters": 22}
    assert result.baselines["nothing"].metrics["mean"] == 0
    low, high = result.summary.intervals["mean"]
    assert low < 22 / 7 < high


@pytest.mark.parametrize("killed_after", [1, 2])
def test_what_is_in_the_file_is_not_asked_again(tmp_path, killed_after: int) -> None:
    task, file = Lengths(), tmp_path / "outcomes.jsonl"
    words = {"batch_size": 3, "file": file, "subject": {"task": "lengths"}}
    whole = evaluate_task(task, [], task.read(WORDS, None), **words)

    class Killed(list):
        def append(self, value):
            if len(self) == killed_after:
                raise KeyboardInterrupt
            super().append(value)

    content = file.read_bytes()
    file.unlink()
    with pytest.raises(KeyboardInterrupt):
        evaluate_task(task, Killed(), task.read(WORDS, None), **words)
    asked, told = [], []
    again = evaluate_task(task, asked, task.read(WORDS, None), progress=told.append, **words)
    assert len(asked) == 3 - killed_after
    assert told[0] == 3 * killed_after
    assert again == whole
    assert file.read_bytes() == content


def test_half_a_batch_is_answered_whole_again(tmp_path) -> None:
    """So that rows have the neighbours they would have had."""
    task, file = Lengths(), tmp_path / "outcomes.jsonl"
    words = {"batch_size": 3, "file": file}
    whole = evaluate_task(task, [], task.read(WORDS, None), **words)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:6]))
    asked = []
    assert evaluate_task(task, asked, task.read(WORDS, None), **words) == whole
    assert asked == [["ccc", "bb", "a"], [""]]


@pytest.mark.parametrize(("words", "message"), [({"batch_size": 0}, "batch_size is 0"), ({}, "no example")])
def test_wrong_requests_are_refused(words: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate_task(Lengths(), [], [Word("a")] if words else [], **words)
