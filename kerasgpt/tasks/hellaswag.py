"""HellaSwag: which of four sentences goes on (Zellers et al. 2019, arXiv:1905.07830)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgpt.errors import KerasGPTError
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.files.lines import numbered_objects, text_field
from kerasgpt.tasks.multiple_choice import MultipleChoice, Question, question

_BRACKETS = re.compile(r"\[.*?\]")


@dataclass(frozen=True)
class HellaSwag(MultipleChoice):
    """Multiple choice over the data set's own lines, or over lines that are ready: query, choices, gold."""

    name = "hellaswag"

    def read(self, paths: Sequence[str | Path], lm: LanguageModel) -> list[Question]:
        """Read questions, cleaning those of the data set as lm-eval does."""
        return [_question(value, place) for path in paths for place, value in numbered_objects(path)]


def clean(text: str) -> str:
    """Take out the marks that WikiHow's articles have left.

    >>> clean(" How to sew [title] Thread a needle. [step] Take one. ")
    'How to sew. Thread a needle. Take one.'
    """
    text = _BRACKETS.sub("", text.strip().replace(" [title]", ". "))
    return text.replace("  ", " ")


def _question(value: Mapping[str, Any], place: str) -> Question:
    if "endings" not in value:
        return question(value, place)
    activity, first, second = (
        text_field(value, name, place, may_be_empty=name == "ctx_b")
        for name in ("activity_label", "ctx_a", "ctx_b")
    )
    query = clean(f"{activity}: {first} {second.capitalize()}")
    endings = value["endings"]
    if not isinstance(endings, list):
        raise KerasGPTError(f'{place}: "endings" must be a list of texts; mend it, or leave the line out')
    choices = [clean(ending) if isinstance(ending, str) else ending for ending in endings]
    return question({"query": query, "choices": choices, "gold": value.get("label")}, place)
