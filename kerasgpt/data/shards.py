"""Shards: ids of a stretch of the data in files that are mapped, with the index of where documents begin."""

from __future__ import annotations

import hashlib
import importlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.artifacts import write_json
from kerasgpt.atomic import atomic_folder
from kerasgpt.config import read_json
from kerasgpt.data.encoding import Row
from kerasgpt.data.splits import PARTS, Part
from kerasgpt.errors import KerasGPTError

INDEX = "index.json"
_OTHER_FILES, _FEWEST_OTHER_FILES = 512, 32  # that a process may have open beside the ids
TOKENS_PER_SHARD = 1 << 24  # what is lost at most when encoding is killed: some seconds of work


@dataclass(frozen=True)
class PartSize:
    """How much one part of the data holds: its UTF-8 bytes, and its ids, document beginnings included."""

    num_bytes: int = 0
    num_tokens: int = 0
    num_documents: int = 0

    def __add__(self, other: PartSize) -> PartSize:
        return PartSize(
            self.num_bytes + other.num_bytes,
            self.num_tokens + other.num_tokens,
            self.num_documents + other.num_documents,
        )


class JoinedIds:
    """Ids of several arrays as one: a slice reads only what it spans.

    >>> ids = JoinedIds([np.array([1, 2]), np.array([3, 4, 5])])
    >>> len(ids), ids[1:4].tolist(), ids.tolist()
    (5, [2, 3, 4], [1, 2, 3, 4, 5])
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self._arrays = arrays
        self._ends = np.cumsum([len(one) for one in arrays])
        self.dtype = arrays[0].dtype

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, wanted: slice) -> NDArray[Any]:
        start, stop, _ = wanted.indices(len(self))
        first = int(np.searchsorted(self._ends, start, side="right"))
        parts = []
        while start < stop:
            offset = int(self._ends[first]) - len(self._arrays[first])
            end = min(stop, int(self._ends[first]))
            parts.append(self._arrays[first][start - offset : end - offset])
            start, first = end, first + 1
        return np.concatenate(parts) if parts else np.empty(0, self.dtype)

    def tolist(self) -> list[int]:
        """All of them as Python integers."""
        return [number for one in self._arrays for number in one.tolist()]


Ids: TypeAlias = NDArray[np.unsignedinteger[Any]] | JoinedIds


@dataclass(frozen=True)
class Shard:
    """A folder with ``train.bin``, ``validation.bin`` and ``test.bin``, as far as they hold anything.

    Beside each lies ``.documents``: uint64 (num_documents,), the places in it where documents begin.

    Attributes:
        folder: where it lies.
        source: number of the source it is of.
        num_pieces: pieces of that source that it holds.
        sizes: of each part.
    """

    folder: Path
    source: int
    num_pieces: int
    sizes: dict[Part, PartSize]

    def ids(self, part: Part, dtype: str) -> NDArray[Any]:
        """The ids of a part, (num_tokens,), mapped from disk."""
        return np.memmap(self.folder / f"{part}.bin", dtype, mode="r")

    def document_starts(self, part: Part) -> NDArray[np.uint64]:
        """Where documents begin among the ids of a part, (num_documents,), mapped from disk."""
        if not self.sizes[part].num_documents:
            return np.empty(0, np.uint64)
        return np.memmap(self.folder / f"{part}.documents", np.uint64, mode="r")

    @property
    def num_files(self) -> int:
        """How many files it maps, if all parts of it are read."""
        return sum((size.num_tokens > 0) + (size.num_documents > 0) for size in self.sizes.values())

    def require_files(self, dtype: str) -> None:
        """Check that the files are as long as they must be.

        Raises:
            ValueError: one is not.
            OSError: one is missing.
        """
        for part, size in self.sizes.items():
            lengths = {
                f"{part}.bin": size.num_tokens * np.dtype(dtype).itemsize,
                f"{part}.documents": size.num_documents * np.dtype(np.uint64).itemsize,
            }
            for name, wanted in lengths.items():
                if wanted and (self.folder / name).stat().st_size != wanted:
                    raise ValueError(f"{self.folder.name}/{name} is not {wanted} bytes long")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open a shard.

        Raises:
            KerasGPTError: its index is missing or damaged.
        """
        values = read_json(folder / INDEX)
        try:
            sizes = {part: PartSize(**values["sizes"][part]) for part in PARTS}
            return cls(folder, int(values["source"]), int(values["num_pieces"]), sizes)
        except (KeyError, TypeError, ValueError) as error:
            raise KerasGPTError(f"{folder}: damaged token files ({error}); delete the folder") from error


def shard_folder(folder: Path, number: int) -> Path:
    """Where a shard of a packed folder lies."""
    return folder / f"shard-{number:05d}"


def finished_shards(folder: Path, dtype: str) -> Iterator[Shard]:
    """The shards of a packed folder, up to the first that is missing or damaged."""
    number = 0
    while (place := shard_folder(folder, number)).is_dir():
        try:
            shard = Shard.read(place)
            shard.require_files(dtype)
        except (KerasGPTError, OSError, ValueError):
            return
        yield shard
        number += 1


def digest_of(shards: Sequence[Shard], part: Part, dtype: str) -> str:
    """SHA-256 of all ids of a part, wherever the shards end."""
    digest = hashlib.sha256()
    for shard in shards:
        if shard.sizes[part].num_tokens:
            digest.update(shard.ids(part, dtype).data)
    return digest.hexdigest()


def allow_open_files(count: int) -> None:
    """Let this process hold so many more files open, if the system's limit can be raised: a map holds one.

    Raises:
        KerasGPTError: it cannot.
    """
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and hard < count + _FEWEST_OTHER_FILES:
        raise KerasGPTError(
            f"the data is in {count} files of token ids, and this system lets a process open {hard}: raise"
            f" 'ulimit -n' to {wanted}, or train on less data at a time"
        )
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(OSError, ValueError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def write_shard(folder: Path, rows: Iterator[Row], source: int) -> Shard | None:
    """Write rows until a shard is full or none are left; it appears as a whole.

    Args:
        folder: to make.
        rows: of ids; what does not fit is left in the stream.
        source: number of the source they are of.

    Returns:
        The shard, or None if there were no rows.
    """
    first = next(rows, None)
    if first is None:
        return None
    with atomic_folder(folder) as temporary:
        num_pieces, sizes = _write_rows(temporary, chain([first], rows))
        values = {part: asdict(size) for part, size in sizes.items()}
        write_json(temporary / INDEX, {"source": source, "num_pieces": num_pieces, "sizes": values})
    return Shard(folder, source, num_pieces, sizes)


def _write_rows(folder: Path, rows: Iterator[Row]) -> tuple[int, dict[Part, PartSize]]:
    sizes: dict[Part, PartSize] = dict.fromkeys(PARTS, PartSize())
    starts: dict[Part, array[int]] = {part: array("Q") for part in PARTS}
    num_pieces = num_tokens = 0
    with ExitStack() as stack:
        files = {part: stack.enter_context((folder / f"{part}.bin").open("wb")) for part in PARTS}
        for row in rows:
            if row.begins_document:
                starts[row.part].append(sizes[row.part].num_tokens)
            files[row.part].write(row.ids.tobytes())
            sizes[row.part] += PartSize(row.num_bytes, len(row.ids), int(row.begins_document))
            num_pieces, num_tokens = num_pieces + 1, num_tokens + len(row.ids)
            if num_tokens >= TOKENS_PER_SHARD:
                break
    for part in PARTS:
        (folder / f"{part}.documents").write_bytes(starts[part].tobytes())
        for name in (f"{part}.bin", f"{part}.documents"):
            if not (folder / name).stat().st_size:
                (folder / name).unlink()
    return num_pieces, sizes
