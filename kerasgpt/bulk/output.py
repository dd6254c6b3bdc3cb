"""The output of a job on disk: a file of answers for each shard, one of errors where there are any."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kerasgpt.artifacts import json_text
from kerasgpt.bulk import storage
from kerasgpt.bulk.answers import Answer
from kerasgpt.bulk.records import Rejected
from kerasgpt.bulk.shards import Shard, ShardEntries

PART, ERRORS = "part", "errors"
OUTPUT_NAME = re.compile(rf"({PART}|{ERRORS})-(\d+)-of-\d+\.jsonl")


@dataclass(frozen=True)
class Output:
    """Where a job writes.

    Attributes:
        folder: on a disk, or an address.
        num_shards: of the job.
        answers_a_record: lines that an answered record has: its continuations, or its one score.
    """

    folder: str
    num_shards: int
    answers_a_record: int = 1

    def path(self, kind: str, number: int) -> str:
        """Of a shard's answers (``"part"``) or errors (``"errors"``)."""
        return storage.join(self.folder, f"{kind}-{number:05d}-of-{self.num_shards:05d}.jsonl")

    def write(self, shard: ShardEntries) -> None:
        """Write a shard: its errors first, so that the file of answers says that all of it is there."""
        answers = [entry for entry in shard.entries if isinstance(entry, Answer)]
        errors = [entry for entry in shard.entries if isinstance(entry, Rejected)]
        if errors:
            storage.write(self.path(ERRORS, shard.number), _lines(errors))
        else:
            storage.delete(self.path(ERRORS, shard.number))  # of an attempt that went otherwise
        storage.write(self.path(PART, shard.number), _lines(answers))

    def written(self) -> set[int]:
        """The numbers of the shards whose answers are there, by the names alone."""
        there = set(storage.names(self.folder))
        paths = {number: self.path(PART, number) for number in range(self.num_shards)}
        return {number for number, path in paths.items() if path.rsplit("/", 1)[-1] in there}

    def finished(self, shards: Iterable[Shard]) -> set[int]:
        """The numbers of the shards that have an answer or an error for every record.

        A file that was cut off or copied in part does not look finished.
        """
        written = self.written()
        return {shard.number for shard in shards if shard.number in written and self._is_whole(shard)}

    def _is_whole(self, shard: Shard) -> bool:
        answers = _whole_lines(self.path(PART, shard.number))
        errors = self.path(ERRORS, shard.number)
        num_errors = _whole_lines(errors) if storage.exists(errors) else 0
        if answers is None or num_errors is None:
            return False
        return answers == (shard.num_records - num_errors) * self.answers_a_record


def rows(folder: str) -> Iterator[dict[str, Any]]:
    """Read the answers of a job, in the order of its records."""
    found = [OUTPUT_NAME.fullmatch(name) for name in storage.names(folder)]
    parts = [(int(each[2]), each[0]) for each in found if each and each[1] == PART]
    for _, name in sorted(parts):  # as numbers: from a hundred thousand on they have a digit more
        with storage.opened(storage.join(folder, name)) as file:
            yield from map(json.loads, file)


def _lines(entries: Iterable[Answer | Rejected]) -> bytes:
    return "".join(json_text(row, indent=None) for entry in entries for row in entry.rows()).encode()


def _whole_lines(path: str) -> int | None:
    """How many lines a file has; None where its last one has no end."""
    count, last = 0, b"\n"
    with storage.opened(path) as file:
        for line in file:
            count, last = count + 1, line
    return count if last.endswith(b"\n") else None
