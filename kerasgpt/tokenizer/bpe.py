"""Tokenizer: GPT-2's byte-level byte-pair encoding, in the form of Hugging Face's files."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Self, get_args

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from kerasgpt import artifacts, checks
from kerasgpt.config import PRESETS
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.tokenizer import files
from kerasgpt.tokenizer.encoders import (
    TiktokenEncoder,
    has_long_blank,
    library_encode_batch,
    tiktoken_encoder,
)
from kerasgpt.tokenizer.keras_hub import read_object
from kerasgpt.tokenizer.raw_bytes import encode_bytes
from kerasgpt.tokenizer.training import learn_merges
from kerasgpt.tokenizer.vocabulary import (
    END_OF_TEXT,
    AllowedSpecial,
    UnknownIds,
    check_special_tokens,
    gpt2_vocabulary,
    learned_vocabulary,
    piece_bytes,
    special_pattern,
)

# Characters after which starting tiktoken has paid; a prompt or two are done sooner without.
_WORTH_TIKTOKEN = 200_000


class Tokenizer:
    """text <-> ids by byte-level BPE: every text has ids, and ``decode(encode(text)) == text``.

    That holds where the vocabulary has all 256 bytes, as GPT-2's and any learned here; another leaves out
    those that it lacks.

    Args:
        vocabulary: piece -> id, in the printable byte alphabet; must hold `end_of_text`.
        merges: pairs of pieces, the most frequent first.
        special_tokens: pieces of the vocabulary that stand for no text; `end_of_text` always does.
        end_of_text: the special token that stands between texts and ends those that are written; GPT-2's, or
            another in a model of a user's own, such as ``</s>`` or ``<|im_end|>``.
        roles: of special tokens in Hugging Face's classes, such as ``pad_token`` -> ``<pad>``; kept for them.

    Raises:
        UsageError: the ids are not 0..V-1; `end_of_text`, a special token or a piece that a merge needs is
            missing; or a special token is what ordinary text merges into.

    >>> tokenizer = Tokenizer.from_preset("gpt2")
    >>> tokenizer.encode("Hello world")
    [15496, 995]
    >>> tokenizer.decode([15496, 995, 50256])
    'Hello world'
    >>> tokenizer.encode("world<|endoftext|>", allowed_special="all")
    [6894, 50256]
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        special_tokens: Collection[str] = (),
        end_of_text: str = END_OF_TEXT,
        roles: Mapping[str, str] | None = None,
    ) -> None:
        self.vocabulary = dict(vocabulary)
        self.merges = [(left, right) for left, right in merges]
        if sorted(self.vocabulary.values()) != list(range(len(self.vocabulary))):
            raise UsageError("the ids of a vocabulary must be 0, 1, 2, ... with none missing or double")
        self.end_of_text = end_of_text
        self.roles = dict(roles or {})
        names = {end_of_text, *special_tokens, *self.roles.values()}
        check_special_tokens(names, self.vocabulary, self.merges)
        self.special_tokens = {name: index for name, index in self.vocabulary.items() if name in names}
        try:
            self._backend = tokenizers.Tokenizer(models.BPE(self.vocabulary, self.merges))
        except Exception as error:  # the library raises bare Exception for a merge outside the vocabulary
            raise UsageError(f"the merges do not fit the vocabulary: {error}") from error
        self._backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        self._backend.decoder = decoders.ByteLevel()
        self._backend.add_special_tokens(
            [tokenizers.AddedToken(name, special=True, normalized=False) for name in self.special_tokens]
        )
        # In a user's text the marker is text like any other; nobody can smuggle in an end of text.
        self._backend.encode_special_tokens = True
        self._num_characters = 0  # encoded so far

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew where it is copied or unpickled: the library forgets what special tokens are to it."""
        special = tuple(self.special_tokens)
        return type(self), (self.vocabulary, self.merges, special, self.end_of_text, self.roles)

    @classmethod
    def from_merges(cls, merges: Sequence[tuple[str, str]], special_tokens: Sequence[str] = ()) -> Self:
        """Number the pieces that merges make, see `learned_vocabulary`."""
        return cls(learned_vocabulary(merges, special_tokens), merges, special_tokens)

    @classmethod
    def learn(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        *,
        minimum_frequency: int = 2,
        special_tokens: Sequence[str] = (),
    ) -> Self:
        """Learn the vocabulary that shortens texts most; the same texts give the same one.

        Args:
            texts: read once, as a stream; merges never cross from one into the next.
            vocabulary_size: V, the 256 bytes and all special tokens included; fewer come out when the
                text has too few frequent pairs.
            minimum_frequency: a pair seen less often is not merged.
            special_tokens: beside ``<|endoftext|>``, such as ``<|user|>``; text in the texts that spell them.

        Returns:
            The tokenizer: ids 0-255 are bytes, then come merges, special tokens and ``<|endoftext|>``.

        Raises:
            UsageError: `texts` is one text or holds others; `vocabulary_size` leaves no room for the bytes
                and special tokens, or is above 2^24; or a special token is empty, double or also a piece.

        >>> Tokenizer.learn(["low lower lowest"], 260, minimum_frequency=1).encode("low")
        [257]
        """
        return cls.from_merges(
            learn_merges(texts, vocabulary_size, minimum_frequency, special_tokens), special_tokens
        )

    @property
    def vocabulary_size(self) -> int:
        """V, number of ids."""
        return len(self.vocabulary)

    @property
    def end_of_text_id(self) -> int:
        """The id of `end_of_text`."""
        return self.vocabulary[self.end_of_text]

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes each id stands for; none for special tokens."""
        table = [b""] * self.vocabulary_size
        for piece, index in self.vocabulary.items():
            if piece not in self.special_tokens:
                table[index] = piece_bytes(piece)
        return table

    def encode(self, text: str, *, allowed_special: AllowedSpecial = ()) -> list[int]:
        """Turn text into ids.

        Args:
            text: any string; half a surrogate pair, which is no character, is read as U+FFFD.
            allowed_special: special tokens that become their own ids where the text spells them, the
                longest first. All others, and that is all by default, are ordinary text.

        Raises:
            UsageError: no special token has such a name.
        """
        if not isinstance(text, str):
            raise checks.refusal("text", text, "one text; encode_batch takes several")
        return self.encode_batch([text], allowed_special=allowed_special)[0]

    def encode_batch(self, texts: Sequence[str], *, allowed_special: AllowedSpecial = ()) -> list[list[int]]:
        """Encode many texts, on all cores; see `encode`. One text, and no list of them, is a UsageError."""
        checks.refuse_text("texts", texts)
        if not allowed_special:
            return self._encode_ordinary(list(texts))
        marker = special_pattern(allowed_special, self.special_tokens)
        parts = [marker.split(text) for text in texts]  # every second part is a special token
        ordinary = iter(self._encode_ordinary([part for text in parts for part in text[::2]]))
        return [self._join(ordinary, text[1::2]) for text in parts]

    def encode_bytes(self, data: bytes) -> list[int]:
        """Turn any bytes into ids that `decode_bytes` turns back; UTF-8 has the ids of its text.

        Bytes that are not UTF-8 have no characters to tell words apart by: from the first of them on, and
        from the beginning of the word before it, all is merged as one word, as tiktoken does. GPT-2
        knows no such text, so this is a convention; to read the bytes as U+FFFD, decode them first.
        """
        return encode_bytes(data, self.encode, self._merger, self.pieces)

    def decode(
        self, ids: Sequence[int], *, skip_special_tokens: bool = True, errors: UnknownIds = "strict"
    ) -> str:
        """Turn ids into text; bytes that are not UTF-8 become U+FFFD.

        Args:
            ids: any number of them.
            skip_special_tokens: whether these stand for nothing, or for their names.
            errors: ``"ignore"`` leaves out ids that the vocabulary has not, as a model with a padded table
                may write them.

        Raises:
            UsageError: an id is not in the vocabulary.
        """
        data = self.decode_bytes(ids, skip_special_tokens=skip_special_tokens, errors=errors)
        return data.decode("utf-8", "replace")

    def decode_batch(self, batch: Sequence[Sequence[int]], *, skip_special_tokens: bool = True) -> list[str]:
        """Decode many rows of ids, see `decode`."""
        return [self.decode(ids, skip_special_tokens=skip_special_tokens) for ids in batch]

    def decode_bytes(
        self, ids: Sequence[int], *, skip_special_tokens: bool = True, errors: UnknownIds = "strict"
    ) -> bytes:
        """Turn ids into the very bytes they stand for; see `decode`.

        Raises:
            UsageError: an id is not in the vocabulary.
        """
        table = self.pieces if skip_special_tokens else self._pieces_and_names
        if errors not in get_args(UnknownIds):
            raise unknown_name("error handling", errors, get_args(UnknownIds))
        ids = list(ids) if errors == "strict" else [index for index in ids if 0 <= index < len(table)]
        for index in ids:
            if not 0 <= index < len(table):
                raise UsageError(f"id {index} is not in this vocabulary of {self.vocabulary_size}")
        return b"".join([table[index] for index in ids])

    @classmethod
    def from_preset(cls, source: str | os.PathLike[str] | Any) -> Self:
        """Load GPT-2's own vocabulary by a preset's name, or any folder in Hugging Face form.

        Args:
            source: ``"gpt2"`` or another GPT-2 preset; or a folder (model, run or bundle) with
                tokenizer.json, or with vocab.json and merges.txt; or a KerasHub ``GPT2Tokenizer``.

        Raises:
            KerasGPTError: nothing there can be read as a byte-level BPE.
        """
        if not isinstance(source, str | os.PathLike):
            return cls._of(read_object(source))
        folder = Path(source)
        if str(source) in PRESETS and not folder.exists():
            packaged = Path(str(resources.files("kerasgpt") / "assets" / "gpt2"))
            merges = files.read_merges(packaged / artifacts.MERGES)
            return cls(gpt2_vocabulary(merges), merges)
        contents = files.read(folder := files.folder_of(folder))
        try:
            return cls._of(contents)
        except UsageError as error:
            raise KerasGPTError(f"{folder}: cannot read the tokenizer ({error})") from error

    def save_to_preset(
        self, folder: str | os.PathLike[str], *, max_sequence_length: int | None = None
    ) -> None:
        """Write the tokenizer's files in Hugging Face form: any reader of GPT-2's loads them.

        Args:
            folder: made if need be.
            max_sequence_length: the context of the model they go with, in tokens.
        """
        names = list(self.special_tokens), self.end_of_text, self.roles
        contents = files.Contents(self.vocabulary, self.merges, *names)
        files.write(Path(folder), contents, self._backend.to_str(pretty=True), max_sequence_length)

    @classmethod
    def _of(cls, found: files.Contents) -> Self:
        return cls(found.vocabulary, found.merges, found.special_tokens, found.end_of_text, found.roles)

    @cached_property
    def _tiktoken(self) -> TiktokenEncoder | None:
        return tiktoken_encoder(self.vocabulary, self.merges, self.special_tokens, self._merger)

    @cached_property
    def _merger(self) -> tokenizers.Tokenizer:
        """The merges alone, which take any text in the printable alphabet for one word."""
        return tokenizers.Tokenizer(models.BPE(self.vocabulary, self.merges))

    @cached_property
    def _pieces_and_names(self) -> list[bytes]:
        names = {index: name.encode() for name, index in self.special_tokens.items()}
        return [names.get(index, piece) for index, piece in enumerate(self.pieces)]

    def _encode_ordinary(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode texts in which nothing is special, by the engine that is done first."""
        self._num_characters += sum(map(len, texts))
        if self._num_characters >= _WORTH_TIKTOKEN and self._tiktoken and not any(map(has_long_blank, texts)):
            return self._tiktoken.encode_batch(texts)
        return library_encode_batch(self._backend, texts)

    def _join(self, ordinary: Iterator[list[int]], names: Sequence[str]) -> list[int]:
        """Put special tokens between the ids of the parts that they divide a text into."""
        ids = list(next(ordinary))
        for name in names:
            ids += [self.vocabulary[name], *next(ordinary)]
        return ids
