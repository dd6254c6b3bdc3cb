"""Labelled: an input and the outputs that are right, from word lists, SST-2, TREC, JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.files.lines import (
    JSON_LINES,
    NOT_JSON,
    ending,
    json_reason,
    numbered_lines,
    numbered_objects,
    refuse_half_pairs,
    whole_text,
)

INPUTS, OUTPUTS = ("input", "text", "prompt", "question"), ("output", "label", "answer")
"""Names that an object may have for its two sides."""


@dataclass(frozen=True)
class Labelled:
    """One example of a task that is shown in a prompt.

    Attributes:
        input: what is asked.
        outputs: the right answers; a prompt shows the first.
        place: where it was read.
    """

    input: str
    outputs: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class LineFormat:
    """A format of text files: a label and an input a line.

    Attributes:
        pattern: of a line, with the groups ``label`` and ``input``.
        labels: label in the file -> the word that a prompt has for it.
        template: that suits it.
    """

    pattern: re.Pattern[str]
    labels: Mapping[str, str]
    template: str


PAIRS_TEMPLATE = "Q: {input}\nA: {output}\n\n"

LINE_FORMATS = {
    "SST-2": LineFormat(
        re.compile(r"(?P<label>\d) (?P<input>.*\S.*)"),
        {"0": "negative", "1": "positive"},
        "Review: {input}\nSentiment: {output}\n\n",
    ),
    "TREC": LineFormat(
        re.compile(r"(?P<label>[A-Z]+):[a-z]+ (?P<input>.*\S.*)"),
        {
            "ABBR": "Abbreviation",
            "DESC": "Description",
            "ENTY": "Entity",
            "HUM": "Person",
            "LOC": "Location",
            "NUM": "Number",
        },
        "Question: {input}\nAnswer type: {output}\n\n",
    ),
}
"""Format -> how its lines are read."""


def read_labelled(path: str | Path) -> tuple[list[Labelled], str]:
    """Read a file: the examples, and the template that suits them.

    A ``.json`` file is a list of ``{"input": ..., "output": ...}``, a ``.jsonl`` file has such an object a
    line; an output may be a list of right ones. Any other file has lines of SST-2 (``1 a fine film``) or of
    TREC (``LOC:city What is the capital of Yugoslavia ?``). A name that ends in .gz besides is unpacked.

    Raises:
        KerasGPTError: the file is none of these, or an example lacks a side or has a label of another set.
    """
    path = Path(path)
    if ending(path) == ".json":
        found, template = [_from_object(*each) for each in _listed(path)], PAIRS_TEMPLATE
    elif ending(path) in JSON_LINES:
        found = [_from_object(value, place) for place, value in numbered_objects(path)]
        template = PAIRS_TEMPLATE
    else:
        found, template = _from_lines(path)
    if not found:
        raise KerasGPTError(f"{path}: has no example; give a file with one or more")
    return found, template


def _listed(path: Path) -> Iterator[tuple[Any, str]]:
    text = whole_text(path)
    try:
        values = json.loads(text)
    except NOT_JSON as error:
        place = f"{path}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else path
        raise KerasGPTError(
            f"{place}: not valid JSON ({json_reason(error)}); a file of JSON lines ends in .jsonl"
        ) from error
    if not isinstance(values, list):
        raise KerasGPTError(f'{path}: is no list; write [{{"input": "...", "output": "..."}}, ...]')
    for number, value in enumerate(values, start=1):
        yield value, f"{path}, example {number}"


def _from_object(value: Any, place: str) -> Labelled:
    if not isinstance(value, dict):
        raise KerasGPTError(f"{place}: is no object; each example is one, with an input and an output")
    asked, given = _side(value, INPUTS, place), _side(value, OUTPUTS, place)
    outputs = given if isinstance(given, list) else [given]
    texts = [str(each) if isinstance(each, int) else each for each in outputs]  # a label may be a number
    if not isinstance(asked, str) or not asked.strip():
        raise KerasGPTError(f"{place}: its input is no text or empty; give one, or leave the example out")
    if not texts or not all(isinstance(each, str) and each.strip() for each in texts):
        raise KerasGPTError(f"{place}: its output is no text or empty; give one, or leave the example out")
    refuse_half_pairs([asked, *texts], "input or output", place)
    return Labelled(asked.strip(), tuple(text.strip() for text in texts), place)


def _side(value: Mapping[str, Any], names: Sequence[str], place: str) -> Any:
    for name in names:
        if name in value:
            return value[name]
    raise KerasGPTError(f'{place}: has no "{names[0]}", only {", ".join(value) or "nothing"}; add it')


def _from_lines(path: Path) -> tuple[list[Labelled], str]:
    lines = [(number, line) for number, line in numbered_lines(path) if line.strip()]
    if not lines:
        return [], PAIRS_TEMPLATE
    for known in LINE_FORMATS.values():
        if known.pattern.fullmatch(lines[0][1]):
            return [
                _from_line(line, f"{path}, line {number}", known) for number, line in lines
            ], known.template
    raise KerasGPTError(
        f"{path}, line {lines[0][0]}: is neither SST-2 (such as '1 a fine film') nor TREC (such as 'NUM:date"
        " When was it ?'); give those, a .json list or .jsonl lines of input and output"
    )


def _from_line(line: str, place: str, known: LineFormat) -> Labelled:
    match = known.pattern.fullmatch(line)
    if match is None:
        raise KerasGPTError(f"{place}: has no label and text as the file's first line has; mend it")
    label = match["label"]
    if label not in known.labels:
        raise KerasGPTError(f"{place}: label '{label}' is none of {', '.join(known.labels)}; mend it")
    return Labelled(match["input"].strip(), (known.labels[label],), place)
