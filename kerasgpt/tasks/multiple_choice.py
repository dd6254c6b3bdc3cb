"""Multiple choice: the answer that a model finds most probable, as it is, and for its length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasgpt.errors import KerasGPTError
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.base import Counts, Figures, Outcome
from kerasgpt.tasks.files.lines import numbered_objects, refuse_half_pairs
from kerasgpt.tasks.pairs import encode_pair, score_pairs

PROMPTS, GOLDS = ("query", "prompt", "question"), ("gold", "label", "answer")
"""Names that a line may have for what is asked, and for the right answer."""

METRICS = ("acc", "acc_norm", "acc_bytes")


@dataclass(frozen=True)
class Question:
    """What is asked, the answers there are, and the number of the right one."""

    prompt: str
    choices: tuple[str, ...]
    gold: int
    place: str


@dataclass(frozen=True)
class MultipleChoice:
    """How often the right answer is the most probable; see `kerasgpt.tasks.base.Task`.

    Its files are JSON lines: ``{"query": "2 + 2 =", "choices": ["3", "4"], "gold": 1}``, where the right
    answer may also be given as its text.

    Args:
        delimiter: between what is asked and an answer.
    """

    delimiter: str = " "

    name = "multiple_choice"

    def read(self, paths: Sequence[str | Path], lm: LanguageModel) -> list[Question]:
        """Read questions with two answers or more."""
        return [question(value, place) for path in paths for place, value in numbered_objects(path)]

    def size(self, example: Question) -> int:
        """Characters, with the longest answer."""
        return len(example.prompt) + max(map(len, example.choices))

    def answer(self, lm: LanguageModel, examples: Sequence[Question]) -> list[Outcome]:
        """Score every answer of each question."""
        pairs = [
            encode_pair(lm, each.prompt, self.delimiter + choice, f"{each.place}, answer {number}")
            for each in examples
            for number, choice in enumerate(each.choices, start=1)
        ]
        scores = iter(zip(pairs, score_pairs(lm, pairs), strict=True))
        return [_outcome(each, [next(scores) for _ in each.choices]) for each in examples]

    def metrics(self, counts: Counts) -> Figures:
        """Shares of right answers: by their probability, by it for a character, and for a byte."""
        shares = {name: counts[name] / counts["examples"] for name in METRICS}
        return {**shares, "num_truncated": counts["truncated"]}

    def baselines(self, examples: Sequence[Question]) -> Mapping[str, Sequence[Outcome]]:
        """Guessing: of n answers 1/n is right."""
        return {"random": [guess(len(each.choices)) for each in examples]}


def guess(num_choices: int) -> Outcome:
    """What guessing comes to on the average."""
    return Outcome({"examples": 1, "truncated": 0, **dict.fromkeys(METRICS, 1 / num_choices)})


def question(value: Mapping[str, Any], place: str) -> Question:
    """Read a line.

    Raises:
        KerasGPTError: a field is missing, or the right answer is none of the choices.
    """
    prompt = _field(value, PROMPTS, place)
    if not isinstance(prompt, str):
        raise KerasGPTError(f"{place}: what is asked is no text; give it in quotes")
    choices = value.get("choices")
    if not isinstance(choices, list) or not all(isinstance(each, str) and each for each in choices):
        raise KerasGPTError(f'{place}: "choices" must be a list of texts, none of them empty')
    if len(choices) < 2:
        raise KerasGPTError(f"{place}: has {len(choices)} choices; give two or more, or leave the line out")
    refuse_half_pairs([prompt, *choices], "question or an answer", place)
    return Question(prompt, tuple(choices), _gold(_field(value, GOLDS, place), choices, place), place)


def _outcome(asked: Question, scored: Sequence[tuple[Any, Any]]) -> Outcome:
    logprobs = np.array([score.logprob for _, score in scored])
    lengths = {
        "acc": np.ones(len(logprobs)),
        "acc_norm": np.array([len(choice) for choice in asked.choices]),
        "acc_bytes": np.array([len(choice.encode("utf-8")) for choice in asked.choices]),
    }
    right = {name: int(np.argmax(logprobs / length) == asked.gold) for name, length in lengths.items()}
    truncated = int(any(pair.is_truncated for pair, _ in scored))
    return Outcome(
        {"examples": 1, **right, "truncated": truncated},
        {"prediction": int(np.argmax(logprobs)), "gold": asked.gold, "logprobs": logprobs.tolist()},
    )


def _field(value: Mapping[str, Any], names: Sequence[str], place: str) -> Any:
    for name in names:
        if name in value:
            return value[name]
    wanted = " or ".join(f'"{name}"' for name in names)
    raise KerasGPTError(f"{place}: has no {wanted}; add it, or leave the line out")


def _gold(given: object, choices: Sequence[str], place: str) -> int:
    if isinstance(given, str) and given in choices:
        return choices.index(given)
    text = str(given)
    is_number = not isinstance(given, bool) and text.isdecimal() and len(text) < 10
    if not is_number or int(text) >= len(choices):
        raise KerasGPTError(
            f"{place}: the right answer is {given!r}: it must be one of the {len(choices)} choices, or its"
            f" number from 0 to {len(choices) - 1}"
        )
    return int(text)
