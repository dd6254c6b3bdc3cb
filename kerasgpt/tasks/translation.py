"""Translation: a text in one language, and what it is in another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from kerasgpt.errors import KerasGPTError, UsageError, counted
from kerasgpt.tasks.files.lines import (
    JSON_LINES,
    ending,
    numbered_lines,
    numbered_objects,
    text_field,
    text_fields,
)
from kerasgpt.tasks.files.records import TaskRecord


def read(paths: Sequence[str]) -> Iterator[TaskRecord]:
    """Read parallel files, or JSON lines ``{"source": ..., "target": ...}``.

    Args:
        paths: two files of text, gzipped or not, the source first, whose lines belong together, as Multi30k
            has them; or any number of files ending in .jsonl or .jsonl.gz.

    Raises:
        UsageError: neither two files of text nor JSON lines.
        KerasGPTError: a file cannot be read, one is longer than the other, or a line is empty.
    """
    are_json = [ending(path) in JSON_LINES for path in paths]
    if all(are_json):
        for path in paths:
            for place, value in numbered_objects(path):
                source = text_field(value, "source", place)
                yield TaskRecord({"source": source}, text_fields(value, "target", place), place, group=source)
    elif len(paths) == 2 and not any(are_json):
        yield from _parallel(*paths)
    else:
        raise UsageError(
            f"translation from {counted(len(paths), 'file')} of text: give two, the source first, whose"
            " lines belong together, or files of JSON lines ending in .jsonl"
        )


def copied(record: TaskRecord) -> str:
    """The baseline: the source as it is, which gets names and numbers right."""
    return record.fields["source"]


def _parallel(sources: str, targets: str) -> Iterator[TaskRecord]:
    for one, other in zip_longest(numbered_lines(sources), numbered_lines(targets)):
        if one is None or other is None:
            longer, number = (sources, one[0]) if one else (targets, other[0])
            raise KerasGPTError(
                f"{longer}, line {number}: the other file of {sources} and {targets} has no such line; give"
                " two whose lines belong together"
            )
        (number, source), (_, target) = one, other
        if not source.strip():
            raise KerasGPTError(f"{sources}, line {number}: is empty; leave it out of both files")
        yield TaskRecord({"source": source}, (target,), f"{targets}, line {number}", group=source)
