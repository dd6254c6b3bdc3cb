"""Summarization: a text, and what it says in a sentence or a title."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kerasgpt.tasks.files.lines import numbered_objects, text_field, text_fields
from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.shortening import sentences

FORMS = (("text", "summary"), ("source", "target"), ("body", "subject"))
"""Names of text and summary: ours, SciTLDR's, AESLC's."""


def read(paths: Sequence[str]) -> Iterator[TaskRecord]:
    """Read JSON lines in any of `FORMS`, gzipped or not; a text may be a list of sentences.

    Several summaries of a text, as SciTLDR has them, are a list.

    Raises:
        KerasGPTError: a file cannot be read, or a line lacks a field or has an empty one.
    """
    for path in paths:
        for place, value in numbered_objects(path):
            text_name, summary_name = next((form for form in FORMS if form[0] in value), FORMS[0])
            text = text_field(value, text_name, place)
            yield TaskRecord({"text": text}, text_fields(value, summary_name, place), place, group=text)


def lead(record: TaskRecord) -> str:
    """The baseline: the text's first line, or its first sentence if that is shorter."""
    first_line = record.fields["text"].strip().split("\n")[0]
    return next(iter(sentences(first_line)), first_line)
