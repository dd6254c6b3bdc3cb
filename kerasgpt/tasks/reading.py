"""Files of any task -> records, their division into parts, and records -> a file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kerasgpt.atomic import write_text
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.tasks import completion, question_answering, summarization, translation
from kerasgpt.tasks.files.records import TaskRecord

READERS = {
    "completion": completion.read,
    "translation": translation.read,
    "summarization": summarization.read,
    "question_answering": question_answering.read,
}
"""Task -> the function that reads its files."""

ANSWERS = {
    "completion": "answer",
    "translation": "target",
    "summarization": "summary",
    "question_answering": "answers",
}
"""Task -> the name of the answers in its JSON lines."""


def read_records(task: str, paths: Sequence[str | os.PathLike[str]]) -> Iterator[TaskRecord]:
    """Read the files of a task.

    Raises:
        UsageError: no such task, or no path.
        KerasGPTError: a file cannot be read, or a record lacks a field; the sentence names its line.
    """
    if task not in READERS:
        raise unknown_name("task", task, READERS)
    if not paths:
        raise UsageError(f"no data: name at least one file for {task}")
    return _not_none(READERS[task]([str(path) for path in paths]), paths)


def write_records(task: str, records: Iterable[TaskRecord], path: str | os.PathLike[str]) -> None:
    """Write records as JSON lines that `read_records` reads."""
    lines = [
        json.dumps({**record.fields, ANSWERS[task]: list(record.answers)}, ensure_ascii=False) + "\n"
        for record in records
    ]
    write_text(path, "".join(lines))


def place_of(group: str) -> float:
    """Where in [0, 1) a group falls by its hash, so that data can be divided without being counted.

    >>> place_of("Super Bowl 50") == place_of("Super Bowl 50") < 1
    True
    """
    return int.from_bytes(hashlib.blake2b(group.encode(), digest_size=8).digest(), "big") / 2**64


def _not_none(records: Iterator[TaskRecord], paths: Sequence[str | os.PathLike[str]]) -> Iterator[TaskRecord]:
    is_empty = True
    for number, record in enumerate(records):
        is_empty = False
        yield replace(record, number=number)
    if is_empty:
        raise KerasGPTError(f"{', '.join(map(str, paths))}: holds no record; give a file that does")
