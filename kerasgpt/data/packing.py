"""Token ids on disk: documents encoded once into memory-mapped shards, found again by their key."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kerasgpt.artifacts import write_json
from kerasgpt.atomic import CannotWriteError
from kerasgpt.config import read_json
from kerasgpt.data.corpus import Corpus, Survey
from kerasgpt.data.encoding import Row, encode_pieces
from kerasgpt.data.progress import ByteProgress
from kerasgpt.data.reading import ErrorHandling, FileState, state_of
from kerasgpt.data.shards import (
    INDEX,
    Ids,
    JoinedIds,
    PartSize,
    Shard,
    allow_open_files,
    digest_of,
    finished_shards,
    shard_folder,
    write_shard,
)
from kerasgpt.data.sources import fingerprint
from kerasgpt.data.splits import PARTS, Part, Split
from kerasgpt.errors import KerasGPTError
from kerasgpt.folder_lock import held
from kerasgpt.tokenizer.bpe import Tokenizer

_FORMAT = 4  # raise it when the folder's layout or the division of data changes: old ones are packed again


@dataclass(frozen=True)
class PackedCorpus:
    """A folder of token ids: shards, each with the ids of all parts, and ``index.json``.

    Attributes:
        folder: where it lies.
        dtype: ``"uint16"``, or ``"uint32"`` for a vocabulary above 65,536.
        num_sources: groups of files that are kept apart.
        num_duplicates: documents left out since an equal one came before.
        digests: SHA-256 of all ids of each part, wherever shards end.
        shards: in the order of the data.
    """

    folder: Path
    dtype: str
    num_sources: int
    num_duplicates: int
    digests: dict[Part, str]
    shards: tuple[Shard, ...]

    def openable(self) -> Self:
        """Itself, once this process may hold all its files open.

        Raises:
            KerasGPTError: the system does not allow so many.
        """
        allow_open_files(sum(shard.num_files for shard in self.shards))
        return self

    @property
    def sizes(self) -> dict[Part, PartSize]:
        """Of each part, over all shards."""
        return {part: sum((shard.sizes[part] for shard in self.shards), PartSize()) for part in PARTS}

    def num_labels(self, part: Part) -> int:
        """Tokens of a part that are learned or measured: all but the first."""
        return max(self.sizes[part].num_tokens - 1, 0)

    def ids(self, part: Part, source: int | None = None) -> Ids:
        """The ids of a part, (num_tokens,), mapped from disk and not read into memory.

        Args:
            part: which.
            source: of this source alone; None means all.
        """
        shards = [shard for shard in self._shards_with(part) if source in (None, shard.source)]
        arrays = [shard.ids(part, self.dtype) for shard in shards]
        if len(arrays) > 1:
            return JoinedIds(arrays)
        return arrays[0] if arrays else np.empty(0, self.dtype)

    def ids_by_source(self, part: Part) -> list[Ids]:
        """The ids of a part, each source apart."""
        return [self.ids(part, source) for source in range(self.num_sources)]

    def document_starts(self, part: Part) -> NDArray[np.uint64]:
        """Where documents begin among the ids of a part, (num_documents,)."""
        shards = list(self._shards_with(part))
        offsets = np.cumsum([0, *(shard.sizes[part].num_tokens for shard in shards)]).astype(np.uint64)
        starts = [
            shard.document_starts(part) + offset for shard, offset in zip(shards, offsets, strict=False)
        ]
        return np.concatenate([np.empty(0, np.uint64), *starts])

    def digest(self, part: Part) -> str:
        """A hash of all ids of a part; of that to train on also of which source each is of."""
        if part != "train" or self.num_sources == 1:
            return self.digests[part]
        counts = [len(ids) for ids in self.ids_by_source(part)]
        return hashlib.sha256(json.dumps([self.digests[part], counts]).encode()).hexdigest()

    def _shards_with(self, part: Part) -> Iterator[Shard]:
        return (shard for shard in self.shards if shard.sizes[part].num_tokens)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open a packed folder.

        Raises:
            KerasGPTError: its index is missing or damaged, or does not fit its files.
        """
        values = read_json(folder / INDEX)
        try:
            shards = tuple(Shard.read(shard_folder(folder, number)) for number in range(values["num_shards"]))
            digests: dict[Part, str] = {part: values["digests"][part] for part in PARTS}
            counts = values["num_sources"], values["num_duplicates"]
            corpus = cls(folder, values["dtype"], *counts, digests, shards)
            for shard in shards:
                shard.require_files(corpus.dtype)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise KerasGPTError(f"{folder}: damaged token files ({error}); delete the folder") from error
        return corpus


def cache_folder() -> Path:
    """Where packed data lies unless told otherwise: $KERASGPT_CACHE, or kerasgpt in the user's cache.

    Raises:
        KerasGPTError: neither is named, and the user has no home folder.
    """
    if folder := os.environ.get("KERASGPT_CACHE"):
        return Path(folder)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kerasgpt"
    except RuntimeError as error:  # as in a container, under a number that has no name
        raise KerasGPTError(
            "the user has no home folder to keep token ids in: set KERASGPT_CACHE to a folder"
        ) from error


def pack(
    paths: Sequence[str | os.PathLike[str]],
    tokenizer: Tokenizer,
    split: Split,
    *,
    errors: ErrorHandling = "strict",
    deduplicate: bool = False,
    separate: bool = False,
    num_workers: int | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> PackedCorpus:
    """Encode files into token ids on disk, or find them there from an earlier call.

    Memory stays bounded whatever the size of the files; a bar on stderr shows how far it is. Killed or
    interrupted, the next call goes on after the last whole shard; the ids are the same.

    Args:
        paths: files and patterns, see `kerasgpt.data.sources.documents`.
        tokenizer: encodes them.
        split: divides them.
        errors: what to do about bytes that are not UTF-8.
        deduplicate: whether to leave out documents that are equal to an earlier one.
        separate: whether to keep and divide each path apart from the others, to be mixed by weight.
        num_workers: threads that encode; None means one a core. The ids do not depend on it.
        cache: folder of packed folders; None means `cache_folder`.

    Raises:
        KerasGPTError: a file cannot be read.
        CannotWriteError: the cache cannot be written; nothing half-written is left.
    """
    corpus = Corpus.of(paths, split, errors, deduplicate, separate)
    root = cache_folder() if cache is None else Path(cache)
    states = {path: state_of(path) for path in corpus.files}  # before they are read for the first time
    folder = root / f"tokens-{_key(corpus, tokenizer)}"
    with _cached(folder, cache), held(folder, lambda: _tell_of_waiting(folder)):
        if (folder / INDEX).is_file():
            try:
                packed = PackedCorpus.read(folder)
            except KerasGPTError:
                _empty(folder)  # damaged since: pack again, in its place
            else:
                return packed.openable()
        try:
            _write(corpus, tokenizer, folder, num_workers or os.cpu_count() or 1, states)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise CannotWriteError(folder, error.strerror or str(error)) from error
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return PackedCorpus.read(folder).openable()


@contextmanager
def _cached(folder: Path, cache: str | os.PathLike[str] | None) -> Iterator[None]:
    """Say where else the cache may be, if it cannot be written and nobody said where."""
    try:
        yield
    except CannotWriteError as error:
        if cache is not None or not error.path.is_relative_to(folder):
            raise
        remedy = "free some space, or set KERASGPT_CACHE to another folder"
        raise CannotWriteError(error.path, error.reason, remedy) from error


def _tell_of_waiting(folder: Path) -> None:
    print(f"{folder}: another process is at work here; waiting for it", file=sys.stderr)


def _key(corpus: Corpus, tokenizer: Tokenizer) -> str:
    """A name that changes with anything the ids depend on."""
    vocabulary = sorted(tokenizer.vocabulary.items(), key=lambda item: item[1])
    parts = [
        _FORMAT,
        [fingerprint(source) for source in corpus.sources],
        asdict(corpus.split),
        corpus.errors,
        corpus.deduplicate,
        vocabulary,
        tokenizer.merges,
        tokenizer.end_of_text,
        sorted(tokenizer.special_tokens),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _write(
    corpus: Corpus,
    tokenizer: Tokenizer,
    folder: Path,
    num_workers: int,
    states: dict[Path, FileState],
) -> None:
    """Go on from the shards that are there, and write the index last: it says that all are.

    Raises:
        KerasGPTError: a file is no longer as it was when the folder got its name.
    """
    dtype = "uint16" if tokenizer.vocabulary_size <= 1 << 16 else "uint32"
    done = list(finished_shards(folder, dtype))
    for stale in folder.glob(".*.tmp-*"):  # of a process that was killed: we hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    survey = corpus.survey(folder, tokenizer)
    num_shards = len(done)
    num_bytes = sum(survey.total_bytes) or sum(path.stat().st_size for path in corpus.files)
    with ByteProgress("encoding", num_bytes) as progress:
        _tell_duplicates(survey, progress)
        for shard in done:
            progress.advance(sum(size.num_bytes for size in shard.sizes.values()))
        for source in range(len(corpus.sources)):
            num_pieces = sum(shard.num_pieces for shard in done if shard.source == source)
            tagged = islice(corpus.tagged(source, survey, folder, tokenizer), num_pieces, None)
            rows = _counted(encode_pieces(tagged, tokenizer, dtype, num_workers), progress)
            while write_shard(shard_folder(folder, num_shards), rows, source):
                num_shards += 1
    for path, state in states.items():
        if state_of(path) != state:
            raise KerasGPTError(f"{path}: was changed while it was read; start again once it stays as it is")
    shards = list(finished_shards(folder, dtype))
    values = {"dtype": dtype, "num_sources": len(corpus.sources), "num_duplicates": survey.num_duplicates}
    digests = {part: digest_of(shards, part, dtype) for part in PARTS}
    write_json(folder / INDEX, {**values, "num_shards": num_shards, "digests": digests})


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _counted(rows: Iterator[Row], progress: ByteProgress) -> Iterator[Row]:
    for row in rows:
        progress.advance(row.num_bytes)
        yield row


def _tell_duplicates(survey: Survey, progress: ByteProgress) -> None:
    if survey.num_duplicates:
        progress.note(f"{survey.num_duplicates:,} documents are equal to an earlier one and are left out")
