"""What is to be done in parts: the files of a job, looked through once, and the shards they fall into."""

from __future__ import annotations

import codecs
import hashlib
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kerasgpt.bulk import storage
from kerasgpt.bulk.records import Record, Rejected, Task, is_json, parse
from kerasgpt.errors import KerasGPTError, UsageError

if TYPE_CHECKING:
    from kerasgpt.bulk.answers import Answer


# The first bytes of what is no text -> what it is, and what to do about it.
_OTHER_FORMS = {
    codecs.BOM_UTF16_LE: "is UTF-16: convert it to UTF-8",
    codecs.BOM_UTF16_BE: "is UTF-16: convert it to UTF-8",
    b"\x1f\x8b": "is compressed by gzip: let its name end in .gz",
    b"PAR1": "is a parquet file: write its prompts as JSON lines",
}


@dataclass(frozen=True)
class Start:
    """Where the records of a shard begin in a file.

    Attributes:
        path: of the file.
        name: of the file in ids.
        offset: of the first record's line, in bytes (of what a ``.gz`` holds).
        line: its number, from 1.
    """

    path: str
    name: str
    offset: int
    line: int


@dataclass
class Shard:
    """Records that follow each other, to be answered and written together.

    Attributes:
        number: from 0.
        first_index: of its first record among all.
        num_records: how many it has.
        starts: where they begin, in each of the files that they stand in.
    """

    number: int
    first_index: int
    num_records: int = 0
    starts: list[Start] = field(default_factory=list)


@dataclass(frozen=True)
class ShardEntries:
    """A shard on its way through a pipeline: what is known of its records, in their order.

    Attributes:
        number: of the shard.
        entries: Records to be answered, or Answers; and Rejecteds.
    """

    number: int
    entries: tuple[Record | Answer | Rejected, ...]

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True)
class Source:
    """An input file when a job was begun: its name in ids, its records, a hash of its bytes."""

    name: str
    num_records: int
    sha256: str


def names_of(paths: Sequence[str]) -> list[str]:
    """Short names, no two alike: the paths from the folder on that all of the files lie in.

    Raises:
        UsageError: a file is named twice.

    >>> names_of(["/data/a/x.txt", "/data/b/x.txt"]), names_of(["gs://data/x.txt"])
    (['a/x.txt', 'b/x.txt'], ['x.txt'])
    """
    full = [path if storage.is_address(path) else os.path.abspath(path) for path in paths]
    for path, count in Counter(full).items():
        if count > 1:
            raise UsageError(f"{path}: is named {count} times; name each input once")
    parts = [path.split("/") for path in full]
    shared = len(posixpath.commonprefix([each[:-1] for each in parts]))
    return ["/".join(each[shared:]) for each in parts]


def survey(paths: Sequence[str], shard_size: int) -> tuple[list[Source], list[Shard]]:
    """Look through files once: what is in them, and where each shard of so many records begins.

    Lines of white space alone are no records. A shard may go over the ends of files.

    Args:
        paths: in the order of the records.
        shard_size: records of each shard but the last.

    Raises:
        KerasGPTError: a file cannot be read or is no text, or there is no record in any of them.
        UsageError: a file is named twice.
    """
    sources: list[Source] = []
    shards: list[Shard] = []
    for path, name in zip(paths, names_of(paths), strict=True):
        digest, count, offset = hashlib.sha256(), 0, 0
        with storage.opened(path) as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    _refuse_other_forms(path, line)
                if _is_record(line, number):
                    _place(shards, Start(path, name, offset, number), shard_size, begins_file=count == 0)
                    count += 1
                digest.update(line)
                offset += len(line)
        sources.append(Source(name, count, digest.hexdigest()))
    if not shards:
        raise KerasGPTError(f"{', '.join(paths)}: no record in there; give one a line")
    return sources, shards


def _refuse_other_forms(path: str, head: bytes) -> None:
    """Refuse what is no UTF-8 by its first bytes, rather than have each of its lines answered as noise.

    Raises:
        KerasGPTError: it is UTF-16, compressed without saying so, or parquet.
    """
    for mark, remedy in _OTHER_FORMS.items():
        if head.startswith(mark):
            raise KerasGPTError(f"{path}: {remedy}")


def _place(shards: list[Shard], start: Start, shard_size: int, *, begins_file: bool) -> None:
    """Count one more record, in a new shard where the last one is full."""
    if not shards or shards[-1].num_records == shard_size:
        first = shards[-1].first_index + shard_size if shards else 0
        shards.append(Shard(len(shards), first, starts=[start]))
    elif begins_file:
        shards[-1].starts.append(start)
    shards[-1].num_records += 1


def read(shard: Shard, task: Task, fields: Sequence[str] = ()) -> ShardEntries:
    """Read the records of a shard.

    Args:
        shard: of `survey`.
        task: what they are for.
        fields: of a task's template, see `parse`.

    Raises:
        KerasGPTError: the files have fewer of them by now.
    """
    found = []
    for index, (start, number, line) in enumerate(_lines(shard), start=shard.first_index):
        id = f"{start.name}:{number}"
        found.append(parse(line, id, index, task, as_json=is_json(start.name), fields=fields))
    if len(found) < shard.num_records:
        raise KerasGPTError(
            f"{shard.starts[-1].path}: has become shorter since the job began; begin the job anew"
        )
    return ShardEntries(shard.number, tuple(found))


def _lines(shard: Shard) -> Iterator[tuple[Start, int, bytes]]:
    left = shard.num_records
    for start in shard.starts:
        with storage.opened(start.path) as file:
            file.seek(start.offset)
            for number, line in enumerate(file, start=start.line):
                if _is_record(line, number):
                    yield start, number, _without_mark(line, number)
                    left -= 1
                if not left:
                    return


def _is_record(line: bytes, number: int) -> bool:
    return bool(_without_mark(line, number).strip())


def _without_mark(line: bytes, number: int) -> bytes:
    """A line without the byte order mark that a file may begin with."""
    return line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
