"""Corpus: which files there are, how they are read, de-duplicated and divided; the way to tagged pieces."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kerasgpt.artifacts import write_json
from kerasgpt.config import read_json
from kerasgpt.data.duplicates import document_digests, mark_duplicates, without_duplicates
from kerasgpt.data.pieces import AnyPiece, Piece
from kerasgpt.data.reading import ErrorHandling
from kerasgpt.data.sources import documents, expand
from kerasgpt.data.splits import Split, TaggedPieces, num_bytes, part_of
from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.bpe import Tokenizer

SURVEY = "survey.json"
_DUPLICATES = "duplicates.npy"
_DIGESTS = "digests.tmp"


@dataclass(frozen=True)
class Survey:
    """What must be known of the data before it can be divided.

    Attributes:
        total_bytes: of each source, duplicates left out; empty where nobody needs it.
        first_documents: the number of each source's first document, counted over all; likewise.
        num_duplicates: documents that are equal to an earlier one and are left out.
    """

    total_bytes: list[int]
    first_documents: list[int]
    num_duplicates: int = 0


@dataclass(frozen=True)
class Corpus:
    """The data as it is asked for.

    Attributes:
        sources: groups of files; each is divided apart from the others.
        split: how.
        errors: what to do about bytes that are not UTF-8.
        deduplicate: whether a document that is equal to an earlier one, of any source, is left out.
    """

    sources: tuple[tuple[Path, ...], ...]
    split: Split
    errors: ErrorHandling = "strict"
    deduplicate: bool = False

    @classmethod
    def of(
        cls,
        paths: Sequence[str | os.PathLike[str]],
        split: Split,
        errors: ErrorHandling = "strict",
        deduplicate: bool = False,
        separate: bool = False,
    ) -> Self:
        """Describe files.

        Args:
            paths: files and patterns.
            split: how to divide them.
            errors: what to do about bytes that are not UTF-8.
            deduplicate: whether to leave equal documents out.
            separate: whether each path or pattern is a source of its own, to be mixed by weight; else all
                are one.

        Raises:
            UsageError: there is no path.
            KerasGPTError: a pattern matches nothing.
        """
        groups = [[path] for path in paths] if separate else [list(paths)]
        if not paths:
            raise UsageError("no data: name at least one file of text, JSON lines, parquet or ids")
        return cls(tuple(tuple(expand(group)) for group in groups), split, errors, deduplicate)

    @property
    def files(self) -> list[Path]:
        """All files, in order."""
        return [path for source in self.sources for path in source]

    def survey(self, folder: Path, tokenizer: Tokenizer | None = None) -> Survey:
        """Read all data once, where that is needed to divide it, or find what an earlier call found.

        Args:
            folder: where to keep what is found.
            tokenizer: the one that made files of ids.

        Raises:
            KerasGPTError: a file cannot be read.
        """
        if (folder / SURVEY).is_file():
            return Survey(**read_json(folder / SURVEY))
        if self.deduplicate:
            survey = self._find_duplicates(folder, tokenizer)
        elif self.split.method == "tail":
            totals = [num_bytes(self._read(source, tokenizer)) for source in range(len(self.sources))]
            survey = Survey(totals, [])
        else:
            survey = Survey([], [])
        write_json(folder / SURVEY, asdict(survey))
        return survey

    def tagged(
        self, source: int, survey: Survey, folder: Path, tokenizer: Tokenizer | None = None
    ) -> TaggedPieces:
        """The pieces of a source that are kept, and to which part each belongs.

        Args:
            source: its number.
            survey: of this corpus.
            folder: where that is kept.
            tokenizer: the one that made files of ids.

        Raises:
            KerasGPTError: a file cannot be read.
        """

        def read() -> Iterator[AnyPiece]:
            pieces = self._read(source, tokenizer)
            if not survey.num_duplicates:
                return pieces
            marks = np.load(folder / _DUPLICATES, mmap_mode="r")
            return without_duplicates(pieces, marks, survey.first_documents[source])

        return self.split.divide(read, survey.total_bytes[source] if survey.total_bytes else None)

    def training_texts(self) -> Iterator[str]:
        """The text of the part to train on, as a learner of vocabularies wants it.

        Raises:
            KerasGPTError: a file cannot be read, or holds ids and no text.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            survey = self.survey(folder)
            for source in range(len(self.sources)):
                for piece in part_of("train", self.tagged(source, survey, folder)):
                    if isinstance(piece, Piece):
                        yield piece.text

    def _read(self, source: int, tokenizer: Tokenizer | None) -> Iterator[AnyPiece]:
        return documents(self.sources[source], self.errors, tokenizer)

    def _find_duplicates(self, folder: Path, tokenizer: Tokenizer | None) -> Survey:
        sizes: list[NDArray[np.int64]] = []
        digests = folder / _DIGESTS
        with digests.open("wb") as file:
            for source in range(len(self.sources)):
                found = array("q")  # 8 bytes a document
                for digest, size in document_digests(self._read(source, tokenizer)):
                    file.write(digest)
                    found.append(size)
                sizes.append(np.array(found, np.int64))
        num_duplicates = mark_duplicates(digests, folder / _DUPLICATES)
        digests.unlink()
        marks = np.load(folder / _DUPLICATES, mmap_mode="r")
        firsts = [sum(map(len, sizes[:source])) for source in range(len(sizes))]
        totals = [
            int(size[~marks[first : first + len(size)]].sum())
            for first, size in zip(firsts, sizes, strict=True)
        ]
        return Survey(totals, firsts, num_duplicates)
