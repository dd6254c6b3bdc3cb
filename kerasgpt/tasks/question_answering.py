"""Question answering: a question about a text, whose answer is a few words of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.files.lines import (
    JSON_LINES,
    NOT_JSON,
    ending,
    json_reason,
    numbered_lines,
    numbered_objects,
    text_field,
    text_fields,
)
from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.shortening import by_shared_words, sentences

_FORM = 'give an object with "data", or JSON lines in a file ending in .jsonl'


def read(paths: Sequence[str]) -> Iterator[TaskRecord]:
    """Read SQuAD 1.1's form, or JSON lines ``{"context": ..., "question": ..., "answers": [...]}``.

    Args:
        paths: files ending in .jsonl or .jsonl.gz are JSON lines; an optional "title" in each keeps those of
            one article together. The others are SQuAD's.

    Raises:
        KerasGPTError: a file cannot be read, or lacks a field or has an empty one.
    """
    for path in paths:
        if ending(path) in JSON_LINES:
            for place, value in numbered_objects(path):
                context = text_field(value, "context", place)
                question = text_field(value, "question", place)
                answers = text_fields(value, "answers", place)
                title = value.get("title")
                yield TaskRecord(
                    {"context": context, "question": question},
                    answers,
                    place,
                    group=title if isinstance(title, str) else context,
                )
        else:
            yield from _squad(path)


def nearest_sentence(record: TaskRecord) -> str:
    """A baseline: the whole sentence that shares most words with the question."""
    context = record.fields["context"]
    nearest = by_shared_words(context, record.fields["question"])
    return sentences(context)[nearest[0]] if nearest else context


def _squad(path: str) -> Iterator[TaskRecord]:
    try:
        content = json.loads("\n".join(line for _, line in numbered_lines(path)))
    except NOT_JSON as error:
        raise KerasGPTError(f"{path}: not in SQuAD's form ({json_reason(error)}); {_FORM}") from error
    articles = content.get("data") if isinstance(content, dict) else None
    if not isinstance(articles, list):
        raise KerasGPTError(f'{path}: not in SQuAD\'s form (it has no list "data"); {_FORM}')
    for number, article in enumerate(articles, start=1):
        place = f"{path}, article {number}"
        for paragraph in _list_in(article, "paragraphs", place):
            for question in _list_in(paragraph, "qas", place):
                yield _squad_record(article, paragraph, question, place)


def _squad_record(
    article: Mapping[str, Any], paragraph: Mapping[str, Any], question: Mapping[str, Any], place: str
) -> TaskRecord:
    place = f"{place}, question {question.get('id', '?')}"
    fields = {
        "context": text_field(paragraph, "context", place),
        "question": text_field(question, "question", place),
    }
    answers = tuple(text_field(answer, "text", place) for answer in _list_in(question, "answers", place))
    return TaskRecord(fields, answers, place, group=str(article.get("title", fields["context"])))


def _list_in(value: Any, name: str, place: str) -> list[Mapping[str, Any]]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise KerasGPTError(f'{place}: has no list "{name}"; give SQuAD 1.1\'s form')
    return found
