"""Tokenizer: GPT-2's byte-level byte-pair encoding, on the `tokenizers` library."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Self

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from kerasgpt import artifacts
from kerasgpt.atomic import write_text
from kerasgpt.config import PRESETS
from kerasgpt.errors import KerasGPTError, UsageError

END_OF_TEXT = "<|endoftext|>"


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each of the 256 bytes: character -> byte (Radford et al. 2019).

    Printable Latin-1 characters stand for themselves, the others are moved up from U+0100 on.

    >>> byte_alphabet()["A"], byte_alphabet()["Ġ"]
    (65, 32)
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def learned_vocabulary(merges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Number the pieces a list of merges makes: the 256 bytes, each merge in turn, end of text last."""
    alphabet = byte_alphabet()
    pieces = [*sorted(alphabet, key=alphabet.__getitem__), *("".join(pair) for pair in merges), END_OF_TEXT]
    return {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}


class Tokenizer:
    """text <-> ids by byte-level BPE: every text has ids, and ``decode(encode(text)) == text``.

    Args:
        vocabulary: piece -> id, in the printable byte alphabet; must hold ``<|endoftext|>``.
        merges: pairs of pieces, the most frequent first.

    Raises:
        UsageError: the ids are not 0..V-1, or ``<|endoftext|>`` or a piece that a merge needs is missing.

    >>> tokenizer = Tokenizer.from_preset("gpt2")
    >>> tokenizer.encode("Hello world")
    [15496, 995]
    >>> tokenizer.decode([15496, 995, 50256])
    'Hello world'
    """

    def __init__(self, vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
        self.vocabulary = dict(vocabulary)
        self.merges = [(left, right) for left, right in merges]
        if sorted(self.vocabulary.values()) != list(range(len(self.vocabulary))):
            raise UsageError("the ids of a vocabulary must be 0, 1, 2, ... with none missing or double")
        if END_OF_TEXT not in self.vocabulary:
            raise UsageError(f"the vocabulary has no {END_OF_TEXT}; add it as the last piece")
        try:
            self._backend = tokenizers.Tokenizer(models.BPE(self.vocabulary, self.merges))
        except Exception as error:  # the library raises bare Exception for a merge outside the vocabulary
            raise UsageError(f"the merges do not fit the vocabulary: {error}") from error
        self._backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        self._backend.decoder = decoders.ByteLevel()
        end_of_text = tokenizers.AddedToken(END_OF_TEXT, special=True, normalized=False)
        self._backend.add_special_tokens([end_of_text])
        # In a user's text the marker is text like any other; nobody can smuggle in an end of text.
        self._backend.encode_special_tokens = True

    @property
    def vocabulary_size(self) -> int:
        """V, number of ids."""
        return len(self.vocabulary)

    @property
    def end_of_text_id(self) -> int:
        """The id of ``<|endoftext|>``."""
        return self.vocabulary[END_OF_TEXT]

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes each id stands for; none for ``<|endoftext|>``."""
        alphabet = byte_alphabet()
        table = [b""] * self.vocabulary_size
        for piece, index in self.vocabulary.items():
            if index != self.end_of_text_id:
                table[index] = bytes(alphabet[character] for character in piece)
        return table

    def encode(self, text: str) -> list[int]:
        """Turn text into ids; ``<|endoftext|>`` in the text is ordinary text."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts, on all cores."""
        encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Turn ids into text; bytes that are not UTF-8 become U+FFFD.

        Raises:
            UsageError: an id is not in the vocabulary.
        """
        return self.decode_bytes(ids, skip_special_tokens=skip_special_tokens).decode("utf-8", "replace")

    def decode_bytes(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> bytes:
        """Turn ids into the very bytes they stand for.

        Raises:
            UsageError: an id is not in the vocabulary.
        """
        marker = b"" if skip_special_tokens else END_OF_TEXT.encode()
        parts = []
        for index in ids:
            if not 0 <= index < self.vocabulary_size:
                raise UsageError(f"id {index} is not in this vocabulary of {self.vocabulary_size}")
            parts.append(marker if index == self.end_of_text_id else self.pieces[index])
        return b"".join(parts)

    @classmethod
    def from_preset(cls, source: str | os.PathLike[str]) -> Self:
        """Load the packaged GPT-2 vocabulary by a preset's name, or any folder in Hugging Face form.

        Args:
            source: ``"gpt2"`` or another GPT-2 preset; or a folder (model, run or bundle) with
                tokenizer.json, or with vocab.json and merges.txt.

        Raises:
            KerasGPTError: nothing there can be read as a byte-level BPE.
        """
        if str(source) in PRESETS and not Path(source).exists():
            return cls._from_vocabulary_files(Path(str(resources.files("kerasgpt") / "assets" / "gpt2")))
        folder = Path(source)
        if (folder / artifacts.RUN_MODEL / artifacts.TOKENIZER).is_file():
            folder = folder / artifacts.RUN_MODEL
        if (folder / artifacts.TOKENIZER).is_file():
            return cls._from_tokenizer_json(folder / artifacts.TOKENIZER)
        if (folder / artifacts.VOCABULARY).is_file() and (folder / artifacts.MERGES).is_file():
            return cls._from_vocabulary_files(folder)
        raise KerasGPTError(
            f"{folder}: no {artifacts.TOKENIZER}, and no {artifacts.VOCABULARY} with {artifacts.MERGES};"
            f" give a folder that has one, or a preset's name such as 'gpt2'"
        )

    @classmethod
    def _from_vocabulary_files(cls, folder: Path) -> Self:
        try:
            vocabulary = json.loads((folder / artifacts.VOCABULARY).read_text(encoding="utf-8"))
            lines = (folder / artifacts.MERGES).read_text(encoding="utf-8").split("\n")
            merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
            return cls(vocabulary, [(left, right) for left, right in merges])
        except (OSError, ValueError) as error:
            raise KerasGPTError(f"{folder}: cannot read the vocabulary ({error})") from error

    @classmethod
    def _from_tokenizer_json(cls, path: Path) -> Self:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(*_vocabulary_and_merges(content))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise KerasGPTError(f"{path}: cannot read as a byte-level BPE ({error})") from error

    def save_to_preset(
        self, folder: str | os.PathLike[str], *, max_sequence_length: int | None = None
    ) -> None:
        """Write the tokenizer's files in Hugging Face form: any reader of GPT-2's loads them.

        Args:
            folder: made if need be.
            max_sequence_length: the context of the model they go with, in tokens.
        """
        root = Path(folder)
        self._backend.encode_special_tokens = False
        try:
            write_text(root / artifacts.TOKENIZER, self._backend.to_str(pretty=True))
        finally:
            self._backend.encode_special_tokens = True
        names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
        settings = {"tokenizer_class": "GPT2Tokenizer", **names, "add_prefix_space": False}
        if max_sequence_length is not None:
            settings["model_max_length"] = max_sequence_length
        artifacts.write_json(root / artifacts.TOKENIZER_CONFIG, settings)
        artifacts.write_json(root / artifacts.SPECIAL_TOKENS_MAP, names)
        write_text(root / artifacts.VOCABULARY, json.dumps(self.vocabulary, ensure_ascii=False))
        lines = ["#version: 0.2", *(" ".join(pair) for pair in self.merges)]
        write_text(root / artifacts.MERGES, "\n".join(lines) + "\n")


def _vocabulary_and_merges(content: Mapping[str, Any]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Read a tokenizer.json's content, refusing what is not GPT-2's kind of tokenizer."""
    model = content["model"]
    if model["type"] != "BPE" or (content.get("pre_tokenizer") or {}).get("type") != "ByteLevel":
        raise ValueError("its model is not BPE over a ByteLevel pre-tokenizer")
    vocabulary = dict(model["vocab"])
    for token in content.get("added_tokens", []):
        vocabulary.setdefault(token["content"], token["id"])
    # Older files write a merge as one string "a b", newer ones as a pair.
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    return vocabulary, [(left, right) for left, right in pairs]
