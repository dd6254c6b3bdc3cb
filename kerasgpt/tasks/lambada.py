"""LAMBADA: guess the last word of a passage (Paperno et al. 2016, arXiv:1606.06031)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerasgpt.errors import KerasGPTError
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.base import Counts, Figures, Outcome
from kerasgpt.tasks.files.lines import numbered_objects, text_field
from kerasgpt.tasks.pairs import encode_pair, score_pairs


@dataclass(frozen=True)
class Passage:
    """A text without its last word, and the blank and the word."""

    prompt: str
    word: str
    place: str


@dataclass(frozen=True)
class Lambada:
    """Whether a model's greedy tokens are the last word, and how probable that is; as lm-eval counts.

    Its files are JSON lines with the whole passage: ``{"text": "... I don't care about signs"}``.
    """

    name = "lambada"

    def read(self, paths: Sequence[str | Path], lm: LanguageModel) -> list[Passage]:
        """Read passages of two words or more."""
        return [
            _passage(text_field(value, "text", place), place)
            for path in paths
            for place, value in numbered_objects(path)
        ]

    def size(self, example: Passage) -> int:
        """Characters."""
        return len(example.prompt) + len(example.word)

    def answer(self, lm: LanguageModel, examples: Sequence[Passage]) -> list[Outcome]:
        """Score each last word."""
        pairs = [encode_pair(lm, each.prompt, each.word, each.place) for each in examples]
        return [
            Outcome(
                {
                    "examples": 1,
                    "correct": int(score.is_greedy),
                    "nats": -score.logprob,
                    "truncated": int(pair.is_truncated),
                }
            )
            for pair, score in zip(pairs, score_pairs(lm, pairs), strict=True)
        ]

    def metrics(self, counts: Counts) -> Figures:
        """Accuracy, and the perplexity of a word."""
        mean = counts["nats"] / counts["examples"]
        return {
            "acc": counts["correct"] / counts["examples"],
            "perplexity": math.exp(min(mean, 700.0)),  # above this a float overflows
            "num_truncated": counts["truncated"],
        }

    def baselines(self, examples: Sequence[Passage]) -> Mapping[str, Sequence[Outcome]]:
        """None: no word is right by chance."""
        return {}


def _passage(text: str, place: str) -> Passage:
    prompt, blank, word = text.rstrip().rpartition(" ")
    if not blank or not prompt.strip():
        raise KerasGPTError(f'{place}: its "text" has one word only; give a passage of several')
    return Passage(prompt, blank + word, place)
