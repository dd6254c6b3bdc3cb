"""Token ids on disk: documents encoded once into memory-mapped files, found again by their key."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.artifacts import write_json
from kerasgpt.atomic import atomic_folder
from kerasgpt.config import read_json
from kerasgpt.data.progress import ByteProgress
from kerasgpt.data.sources import ErrorHandling, Piece, documents, fingerprint
from kerasgpt.data.splits import PARTS, Part, Split, TaggedPieces
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.bpe import Tokenizer

Ids: TypeAlias = NDArray[np.unsignedinteger[Any]]

INDEX = "index.json"
_FORMAT = 1  # raise it when the layout of the folder changes: old ones are then packed again
_CHARACTERS_AT_ONCE = 1 << 20  # their ids are Python integers for a while, some 36 bytes each


@dataclass(frozen=True)
class PartSize:
    """How much one part of the data holds: its UTF-8 bytes, and its ids, document beginnings included."""

    num_bytes: int = 0
    num_tokens: int = 0
    num_documents: int = 0


@dataclass(frozen=True)
class PackedCorpus:
    """A folder of token ids: ``train.bin``, ``validation.bin``, ``test.bin`` and ``index.json``.

    Attributes:
        folder: where it lies.
        dtype: ``"uint16"``, or ``"uint32"`` for a vocabulary above 65,536.
        sizes: of each part.
    """

    folder: Path
    dtype: str
    sizes: dict[Part, PartSize]

    def ids(self, part: Part) -> Ids:
        """The ids of a part, (num_tokens,), mapped from disk and not read into memory."""
        if self.sizes[part].num_tokens == 0:
            return np.empty(0, self.dtype)
        return np.memmap(self.folder / f"{part}.bin", self.dtype, mode="r")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Open a packed folder.

        Raises:
            KerasGPTError: its index is missing or damaged, or does not fit its files.
        """
        values = read_json(folder / INDEX)
        try:
            sizes = {part: PartSize(**values["sizes"][part]) for part in PARTS}
            corpus = cls(folder, values["dtype"], sizes)
            for part in PARTS:
                wanted = sizes[part].num_tokens * np.dtype(corpus.dtype).itemsize
                if (folder / f"{part}.bin").stat().st_size != wanted:
                    raise ValueError(f"{part}.bin is not {wanted} bytes long")
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise KerasGPTError(f"{folder}: damaged token files ({error}); delete the folder") from error
        return corpus


def cache_folder() -> Path:
    """Where packed data lies unless told otherwise: $KERASGPT_CACHE, or kerasgpt in the user's cache."""
    if folder := os.environ.get("KERASGPT_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kerasgpt"


def pack(
    paths: Sequence[str | os.PathLike[str]],
    tokenizer: Tokenizer,
    split: Split,
    *,
    errors: ErrorHandling = "strict",
    cache: str | os.PathLike[str] | None = None,
) -> PackedCorpus:
    """Encode files into token ids on disk, or find them there from an earlier call.

    Memory stays bounded whatever the size of the files; a bar on stderr shows how far it is.

    Args:
        paths: text and JSON-lines files, see `kerasgpt.data.sources.documents`.
        tokenizer: encodes them.
        split: divides them.
        errors: what to do about bytes that are not UTF-8.
        cache: folder of packed folders; None means `cache_folder`.

    Raises:
        KerasGPTError: a file cannot be read, or the cache not be written; nothing half-written is left.
    """
    root = cache_folder() if cache is None else Path(cache)
    folder = root / f"tokens-{_key(paths, tokenizer, split, errors)}"
    if (folder / INDEX).is_file():
        try:
            return PackedCorpus.read(folder)
        except KerasGPTError:
            pass  # damaged since: pack again, in its place
    tagged = split.divide(lambda: documents(paths, errors))
    with atomic_folder(folder) as temporary, ByteProgress("encoding", _total_bytes(paths)) as progress:
        _write(tagged, tokenizer, temporary, progress)
    return PackedCorpus.read(folder)


def _key(paths: Sequence[Any], tokenizer: Tokenizer, split: Split, errors: str) -> str:
    """A name that changes with anything the ids depend on."""
    vocabulary = sorted(tokenizer.vocabulary.items(), key=lambda item: item[1])
    parts = [_FORMAT, fingerprint(paths), asdict(split), errors, vocabulary, tokenizer.merges]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _total_bytes(paths: Sequence[str | os.PathLike[str]]) -> int:
    """The size of files on disk, to measure progress by; what cannot be read is refused elsewhere."""
    return sum(path.stat().st_size for path in map(Path, paths) if path.exists())


def _write(tagged: TaggedPieces, tokenizer: Tokenizer, folder: Path, progress: ByteProgress) -> None:
    dtype = np.uint16 if tokenizer.vocabulary_size <= 1 << 16 else np.uint32
    sizes = dict.fromkeys(PARTS, PartSize())
    with ExitStack() as stack:
        files = {part: stack.enter_context((folder / f"{part}.bin").open("wb")) for part in PARTS}
        for group in _groups(tagged):
            encodings = tokenizer.encode_batch([piece.text for _, piece in group])
            for (part, piece), ids in zip(group, encodings, strict=True):
                row = np.array(_marked(piece, ids, tokenizer.end_of_text_id), dtype)
                num_bytes = len(piece.text.encode())
                sizes[part] = _grown(sizes[part], piece, num_bytes, len(row))
                _append(files[part], row)
                progress.advance(num_bytes)
    write_json(
        folder / INDEX,
        {"dtype": np.dtype(dtype).name, "sizes": {part: asdict(sizes[part]) for part in PARTS}},
    )


def _groups(tagged: TaggedPieces) -> Iterator[list[tuple[Part, Piece]]]:
    """Gather pieces until they hold `_CHARACTERS_AT_ONCE`; a piece larger than that is a group of its own."""
    group: list[tuple[Part, Piece]] = []
    num_characters = 0
    for part, piece in tagged:
        group.append((part, piece))
        num_characters += len(piece.text)
        if num_characters >= _CHARACTERS_AT_ONCE:
            yield group
            group, num_characters = [], 0
    if group:
        yield group


def _marked(piece: Piece, ids: list[int], end_of_text_id: int) -> list[int]:
    return [end_of_text_id, *ids] if piece.begins_document else ids


def _grown(size: PartSize, piece: Piece, num_bytes: int, num_tokens: int) -> PartSize:
    return PartSize(
        size.num_bytes + num_bytes,
        size.num_tokens + num_tokens,
        size.num_documents + piece.begins_document,
    )


def _append(file: BinaryIO, row: NDArray[Any]) -> None:
    file.write(row.tobytes())
