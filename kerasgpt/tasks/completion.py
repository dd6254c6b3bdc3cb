"""Completion: any prompt with its answer, from JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kerasgpt.tasks.files.lines import numbered_objects, text_field, text_fields
from kerasgpt.tasks.files.records import TaskRecord


def read(paths: Sequence[str]) -> Iterator[TaskRecord]:
    """Read ``{"prompt": ..., "answer": ...}``, an object a line; several right answers are a list.

    Raises:
        KerasGPTError: a file cannot be read, or a line lacks a field or has an empty one.
    """
    for path in paths:
        for place, value in numbered_objects(path):
            prompt = text_field(value, "prompt", place)
            yield TaskRecord({"prompt": prompt}, text_fields(value, "answer", place), place, group=prompt)
