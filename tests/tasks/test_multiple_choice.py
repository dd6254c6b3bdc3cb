import json

import numpy as np
import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.evaluation import evaluate_task
from kerasgpt.tasks.multiple_choice import MultipleChoice, question

LINES = [
    {"query": "Two and two is", "choices": ["four, as all know", "fünf", "né"], "gold": 0},
    {"prompt": "The sky is", "choices": ["blue", "green"], "label": "1"},
    {"question": "He", "choices": ["was", "is one", "be"], "answer": "is one"},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def naive(lm, prompt: str, choice: str) -> float:
    ids, start = list(f"{prompt} {choice}".encode()), len(prompt.encode())
    return sum(lm.logprobs(ids[:end])[ids[end]] for end in range(start, len(ids)))


def test_the_figures_are_those_of_each_answer_alone(file, byte_model) -> None:
    lm, task = byte_model(), MultipleChoice()
    result = evaluate_task(task, lm, task.read([file], lm))
    right = {"acc": 0, "acc_norm": 0, "acc_bytes": 0}
    for line, gold in zip(LINES, (0, 1, 1), strict=True):
        prompt = line.get("query") or line.get("prompt") or line["question"]
        logprobs = np.array([naive(lm, prompt, choice) for choice in line["choices"]])
        characters = np.array([len(choice) for choice in line["choices"]])
        sizes = np.array([len(choice.encode()) for choice in line["choices"]])
        right["acc"] += logprobs.argmax() == gold
        right["acc_norm"] += (logprobs / characters).argmax() == gold
        right["acc_bytes"] += (logprobs / sizes).argmax() == gold
    metrics = result.summary.metrics
    assert {name: metrics[name] for name in right} == {name: value / 3 for name, value in right.items()}
    assert result.baselines["random"].metrics["acc"] == pytest.approx((1 / 3 + 1 / 2 + 1 / 3) / 3)


def test_length_decides_only_where_it_is_divided_by(tmp_path, byte_model) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"query": "q", "choices": ["a", "ééé"], "gold": 1}))
    lm, task = byte_model(), MultipleChoice()
    (example,) = task.read([path], lm)
    base = [naive(lm, "q", choice) for choice in example.choices]
    for wanted, expected in [((-1.0, -4.0), (0, 0, 1)), ((-1.0, -2.0), (0, 1, 1)), ((-5.0, -4.0), (1, 1, 1))]:
        favours = {f" {c}": w - b for c, w, b in zip(example.choices, wanted, base, strict=True)}
        lm.favours = favours
        counts = task.answer(lm, [example])[0].counts
        acc, norm, size = (counts[name] for name in ("acc", "acc_norm", "acc_bytes"))
        assert (acc, norm, size) == expected


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"query": None}, "what is asked is no text"),
        ({"choices": ["a"]}, "has 1 choices; give two or more"),
        ({"choices": ["a", ""]}, '"choices" must be a list of texts, none of them empty'),
        ({"choices": "ab"}, '"choices" must be a list'),
        ({"gold": 2}, "the right answer is 2: it must be one of the 2 choices, or its number from 0 to 1"),
        ({"gold": "c"}, "the right answer is 'c'"),
        ({"gold": True}, "the right answer is True"),
        ({"gold": -1}, "the right answer is -1"),
        ({"choices": ["\ud800", "b"]}, "its question or an answer holds half a surrogate pair"),
        ({"query": "\ud800"}, "its question or an answer holds half a surrogate pair"),
    ],
)
def test_bad_lines_are_named(change: dict, sentence: str) -> None:
    with pytest.raises(KerasGPTError) as caught:
        question({"query": "q", "choices": ["a", "b"], "gold": 0, **change}, "a.jsonl, line 7")
    assert str(caught.value).startswith("a.jsonl, line 7: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "named"), [("query", '"query" or "prompt"'), ("gold", '"gold" or "label"')]
)
def test_missing_fields_are_named(missing: str, named: str) -> None:
    value = {"query": "q", "choices": ["a", "b"], "gold": 0}
    del value[missing]
    with pytest.raises(KerasGPTError, match=f"a, line 1: has no {named}"):
        question(value, "a, line 1")


def test_an_answer_too_long_for_the_model_is_named(file, byte_model) -> None:
    lm, task = byte_model(context=10), MultipleChoice()
    with pytest.raises(KerasGPTError, match="line 1, answer 1: has 18 tokens to score"):
        task.answer(lm, task.read([file], lm))
