"""A record: one line of an input file, to be continued or scored, or refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from kerasgpt.errors import UsageError

Task: TypeAlias = Literal["generate", "score"]

TASKS: dict[str, tuple[str, ...]] = {"generate": ("prompt",), "score": ("prompt", "continuation")}
"""Task -> the strings that a record of it has."""

JSON_LINES = (".jsonl", ".json", ".ndjson")


@dataclass(frozen=True)
class Record:
    """What a model is asked.

    Attributes:
        id: ``FILE:LINE``, the same in every run.
        index: place among all records of a job, from 0; a sampled text is drawn with the seed + this.
        prompt: text.
        continuation: to be scored after it; only that task has one.
    """

    id: str
    index: int
    prompt: str
    continuation: str = ""

    def strings(self, task: Task) -> dict[str, str]:
        """What a task asks, by its names."""
        return {name: getattr(self, name) for name in TASKS[task]}


@dataclass(frozen=True)
class Rejected:
    """A record that has no answer.

    Attributes:
        id: of the record.
        index: of the record.
        error: why, in a sentence.
        input: the line of the file, as far as it is text; or the strings that the model was asked.
    """

    id: str
    index: int
    error: str
    input: str | dict[str, str]

    def rows(self) -> list[dict[str, Any]]:
        """Its one line among the errors."""
        return [{"id": self.id, "error": self.error, "input": self.input}]


def is_json(name: str) -> bool:
    """Whether a file holds JSON lines, by its name; else it holds a prompt a line."""
    return name.lower().removesuffix(".gz").endswith(JSON_LINES)


def parse(
    line: bytes, id: str, index: int, task: Task, *, as_json: bool, fields: Sequence[str] = ()
) -> Record | Rejected:
    r"""Read one line of an input file.

    Args:
        line: with or without its line break.
        id: of the record.
        index: of the record.
        task: what it is for.
        as_json: whether the line is an object with the task's strings; else it is the prompt itself.
        fields: of the template that prompts are put into; an object of these is a prompt too.

    >>> parse(b'{"prompt": "To be"}\n', "a.jsonl:1", 0, "generate", as_json=True).prompt
    'To be'
    >>> parse(b'{"text": "To be"}\n', "a.jsonl:1", 0, "generate", as_json=True).error
    'the record has no "prompt" that is a string'
    """
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        text = line.decode("utf-8")
        strings = _strings(text, TASKS[task], fields) if as_json else (text,)
        return Record(id, index, *strings)
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 at byte {error.start} of the line"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    return Rejected(id, index, reason, line.decode("utf-8", "replace"))


def _strings(line: str, wanted: tuple[str, ...], fields: Sequence[str]) -> tuple[str, ...]:
    try:
        content = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"not valid JSON ({error.msg} at character {error.pos})") from error
    if not isinstance(content, dict):
        raise UsageError(f"the line is a JSON {type(content).__name__}, not an object")
    if fields and "prompt" not in content:
        return (_raw_input(content, fields),)
    return _texts(content, wanted)


def _raw_input(content: dict[str, Any], fields: Sequence[str]) -> str:
    """A task's own object as its raw input: the text of the one field, or JSON of several."""
    texts = dict(zip(fields, _texts(content, fields), strict=True))
    return texts[fields[0]] if len(fields) == 1 else json.dumps(texts, ensure_ascii=False)


def _texts(content: dict[str, Any], wanted: Sequence[str]) -> tuple[str, ...]:
    for name in wanted:
        value = content.get(name)
        if not isinstance(value, str):
            raise UsageError(f'the record has no "{name}" that is a string')
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise UsageError(f'"{name}" holds half a surrogate pair, which is no character')
    return tuple(content[name] for name in wanted)
