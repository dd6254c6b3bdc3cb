"""TaskTemplate: raw input -> the prompt of a fine-tuned model; task.json keeps it beside the weights."""

from __future__ import annotations

import dataclasses
import json
import os
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kerasgpt import checks
from kerasgpt.artifacts import TASK, write_json
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.protocols import Tokenizer
from kerasgpt.tasks.shortening import cut_to, nearest_sentences

FIELDS = {
    "completion": ("prompt",),
    "translation": ("source",),
    "summarization": ("text",),
    "question_answering": ("context", "question"),
}
"""Task -> what its records are made of."""


class DoesNotFitError(KerasGPTError):
    """A prompt is too long for the model's context, even with nothing of its long field."""


class PromptText(NamedTuple):
    """A prompt, and whether one of its fields was shortened to make it fit."""

    text: str
    was_shortened: bool


@dataclass(frozen=True)
class TaskTemplate:
    r"""How a task's fields become a prompt, and an answer the text that follows it.

    Args:
        task: its name.
        prompt: text with the fields' names in braces.
        long_field: the field that is shortened where the context of the model is too small; no other is.
        answer: what follows the prompt, with ``{answer}`` in it.
        max_new_tokens: room that is kept for the answer.

    Raises:
        UsageError: the task or a name in braces is unknown, or `long_field` or ``{answer}`` is not there.

    >>> template = DEFAULTS["translation"]
    >>> template.text({"source": "A dog runs."})
    'A dog runs.\nTranslation:'
    """

    task: str
    prompt: str
    long_field: str
    answer: str = " {answer}"
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        checks.at_least("max_new_tokens", self.max_new_tokens, 0)
        if self.task not in FIELDS:
            raise unknown_name("task", self.task, FIELDS)
        for name in _names(self.prompt):
            if name not in FIELDS[self.task]:
                raise unknown_name(f"field in the template of {self.task}", name, FIELDS[self.task])
        if self.long_field not in _names(self.prompt):
            raise UsageError(f"template '{self.prompt}': it must have {{{self.long_field}}} in it")
        if _names(self.answer) != ["answer"]:
            raise UsageError(f"answer template '{self.answer}': it must have {{answer}} in it, once")

    @property
    def fields(self) -> list[str]:
        """Names of the fields that the prompt is made of."""
        return list(dict.fromkeys(_names(self.prompt)))

    @property
    def pieces(self) -> list[tuple[str, str | None]]:
        """The prompt as texts, each with the name of the field after it; None where there is none."""
        return [(text, name) for text, name, _, _ in string.Formatter().parse(self.prompt)]

    def text(self, fields: Mapping[str, str]) -> str:
        """The prompt, whole.

        Raises:
            UsageError: a field is missing.
        """
        missing = [name for name in self.fields if name not in fields]
        if missing:
            raise UsageError(f"{self.task} needs {', '.join(self.fields)}: there is no {missing[0]}")
        return self.prompt.format_map(dict(fields))

    def answer_text(self, answer: str) -> str:
        """What a model learns to write after the prompt."""
        return self.answer.format(answer=answer)

    def fitting(
        self, fields: Mapping[str, str], tokenizer: Tokenizer, most_tokens: int, place: str = ""
    ) -> PromptText:
        """The prompt, its long field shortened as far as it must be.

        The sentences of a context that share least with its question go first; any other field is cut at its
        end.

        Args:
            fields: name -> text.
            tokenizer: of the model.
            most_tokens: that the prompt may have.
            place: what to name in the error.

        Raises:
            DoesNotFitError: it is too long even with nothing of that field.
        """
        whole = self.text(fields)
        if len(tokenizer.encode(whole)) <= most_tokens:
            return PromptText(whole, False)

        def fits(text: str) -> bool:
            return len(tokenizer.encode(self.text({**fields, self.long_field: text}))) <= most_tokens

        if not fits(""):
            raise DoesNotFitError(
                f"{place or self.task}: without any {self.long_field} the prompt still has more than"
                f" {most_tokens} tokens, which is what the context has room for: shorten the rest of it, or"
                " take a model with a longer context (train.sequence_length)"
            )
        long_text = fields[self.long_field]
        if "question" in self.fields:
            long_text = nearest_sentences(long_text, fields["question"], fits)
        shortened = self.text({**fields, self.long_field: cut_to(long_text, fits)})
        if not shortened:
            raise DoesNotFitError(
                f"{place or self.task}: nothing of the {self.long_field} is left in {most_tokens} tokens,"
                " which the context has room for: take a model with a longer context, or shorter answers"
            )
        return PromptText(shortened, True)

    def parse(self, text: str) -> dict[str, str]:
        """Read raw input: the text of the one field, or where there are several a JSON object of them.

        Raises:
            UsageError: it is no such object.
        """
        if len(self.fields) == 1:
            return {self.fields[0]: text}
        wanted = ", ".join(f'"{name}": "..."' for name in self.fields)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise UsageError(f"a prompt for {self.task} is an object {{{wanted}}}: {reason}") from error
        if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in self.fields):
            raise UsageError(f"a prompt for {self.task} is an object {{{wanted}}}")
        return {name: value[name] for name in self.fields}

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write it into a model folder."""
        write_json(Path(folder) / TASK, dataclasses.asdict(self))


def _names(template: str) -> list[str]:
    try:
        parts = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise UsageError(f"template '{template}': {error}; write a brace that is meant as {{{{") from error
    for _, name, form, conversion in parts:
        if form or conversion:  # the graph only joins texts
            raise UsageError(
                f"template '{template}': a field is put in as it is; write {{{name}}} without what follows"
                " ! or :"
            )
    return [name for _, name, _, _ in parts if name is not None]


DEFAULTS = {
    "completion": TaskTemplate("completion", "{prompt}", "prompt", "{answer}"),
    "translation": TaskTemplate("translation", "{source}\nTranslation:", "source"),
    "summarization": TaskTemplate("summarization", "{text}\nSummary:", "text", max_new_tokens=32),
    "question_answering": TaskTemplate(
        "question_answering", "{context}\nQuestion: {question}\nAnswer:", "context", max_new_tokens=24
    ),
}
"""Task -> the template it has unless told otherwise."""


def read_template(folder: str | os.PathLike[str]) -> TaskTemplate | None:
    """The template of a model folder; None where it was not trained on a task.

    Raises:
        KerasGPTError: its file is damaged.
    """
    path = Path(folder) / TASK
    if not path.is_file():
        return None
    values: dict[str, Any] = read_json(path)
    if "class_name" in values:
        return None  # KerasHub's presets have a file of this name, which describes a Keras object
    try:
        return TaskTemplate(**values)
    except (TypeError, ValueError) as error:
        raise KerasGPTError(f"{path}: damaged ({error}); train or export the model again") from error
