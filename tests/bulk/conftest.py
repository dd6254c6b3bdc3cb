"""What bulk tests need: files of records, a model that fails on request, and files behind an address."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem

PAIRS = [
    ("ROMEO:\nBut soft, what light", " through"),
    ("The", " king"),
    ("", "The"),
    ("naïve 北京 🙂", " and"),
    ("My lord, the king is come", " to"),
    ("a" * 200, " end"),
    ("What news", "?"),
]


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of JSON lines: of pairs of prompt and continuation, or of texts as they are."""

    def write(name: str = "asked.jsonl", lines=PAIRS) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = [
            line if isinstance(line, str) else json.dumps({"prompt": line[0], "continuation": line[1]})
            for line in lines
        ]
        path.write_text("".join(text + "\n" for text in texts))
        return path

    return write


class FaultyModel:
    """A language model whose `generate` first asks `fault`, which may raise; it notes what it was asked."""

    def __init__(self, lm, fault=lambda prompts: None):
        self._lm = lm
        self.fault = fault
        self.asked = []
        self.tokenizer = lm.tokenizer
        self.max_sequence_length = lm.max_sequence_length

    def generate(self, prompts, settings=None):
        self.asked.append(list(prompts))
        self.fault(prompts)
        return self._lm.generate(prompts, settings)

    def score(self, prompts, continuations):
        self.asked.append(list(prompts))
        return self._lm.score(prompts, continuations)


@pytest.fixture
def faulty() -> type[FaultyModel]:
    return FaultyModel


class MemoryFileSystem(FileSystem):
    """Files behind ``memory://``, as an object store has them: a file is there when it is closed."""

    FILES: ClassVar[dict[str, bytes]] = {}

    @classmethod
    def scheme(cls):
        return "memory"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix) -> Iterator[FileMetadata]:
        for path in sorted(self.FILES):
            if path.startswith(dir_or_prefix):
                yield self.metadata(path)

    def create(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        files = self.FILES

        class Written(io.BytesIO):
            def close(self):
                files[path] = self.getvalue()
                super().close()

        return Written()

    def open(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        if path not in self.FILES:
            raise BeamIOError(f"{path} is not there")
        return io.BytesIO(self.FILES[path])

    def copy(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            self.FILES[destination] = self.FILES[source]

    def rename(self, source_file_names, destination_file_names):
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path):
        return path in self.FILES

    def size(self, path):
        return len(self.FILES[path])

    def last_updated(self, path):
        return 0.0

    def checksum(self, path):
        return str(hash(self.FILES[path]))

    def metadata(self, path):
        return FileMetadata(path, len(self.FILES[path]), 0.0)

    def delete(self, paths):
        for path in paths:
            del self.FILES[path]


@pytest.fixture
def memory() -> Iterator[dict[str, bytes]]:
    """The files behind ``memory://``, none at first: address -> bytes."""
    MemoryFileSystem.FILES.clear()
    yield MemoryFileSystem.FILES
    MemoryFileSystem.FILES.clear()
