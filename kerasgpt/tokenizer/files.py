"""A tokenizer's files in Hugging Face form: tokenizer.json, or vocab.json and merges.txt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgpt import artifacts
from kerasgpt.atomic import write_text
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.vocabulary import END_OF_TEXT

# What a tokenizer.json's BPE may say otherwise than GPT-2, and what then is GPT-2's.
_PLAIN_MODEL = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)


@dataclass(frozen=True)
class Contents:
    """What the files say.

    Attributes:
        vocabulary: piece -> id, special tokens included.
        merges: pairs of pieces, the first to be merged first.
        special_tokens: names of the special tokens, ``<|endoftext|>`` included if it is listed.
    """

    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]
    special_tokens: list[str]


def read(folder: Path) -> Contents:
    """Read a folder's tokenizer.json, or else its vocab.json and merges.txt.

    Raises:
        KerasGPTError: nothing there can be read as GPT-2's kind of tokenizer.
    """
    if (folder / artifacts.TOKENIZER).is_file():
        return _read_tokenizer_json(folder / artifacts.TOKENIZER)
    if (folder / artifacts.VOCABULARY).is_file() and (folder / artifacts.MERGES).is_file():
        return _read_vocabulary_files(folder)
    raise KerasGPTError(
        f"{folder}: no {artifacts.TOKENIZER}, and no {artifacts.VOCABULARY} with {artifacts.MERGES};"
        f" give a folder that has one, or a preset's name such as 'gpt2'"
    )


def write(
    folder: Path, contents: Contents, tokenizer_json: str, max_sequence_length: int | None = None
) -> None:
    """Write all the forms that readers of a GPT-2 folder look for.

    Args:
        folder: made if need be.
        contents: for vocab.json, merges.txt and the settings.
        tokenizer_json: text of that file, as the `tokenizers` library writes it.
        max_sequence_length: the context of the model they go with, in tokens.
    """
    names: dict[str, Any] = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
    if others := [name for name in contents.special_tokens if name != END_OF_TEXT]:
        names["additional_special_tokens"] = others
    settings = {"tokenizer_class": "GPT2Tokenizer", **names, "add_prefix_space": False}
    if max_sequence_length is not None:
        settings["model_max_length"] = max_sequence_length
    write_text(folder / artifacts.TOKENIZER, tokenizer_json)
    artifacts.write_json(folder / artifacts.TOKENIZER_CONFIG, settings)
    artifacts.write_json(folder / artifacts.SPECIAL_TOKENS_MAP, names)
    write_text(folder / artifacts.VOCABULARY, json.dumps(contents.vocabulary, ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in contents.merges)]
    write_text(folder / artifacts.MERGES, "\n".join(lines) + "\n")


def _read_vocabulary_files(folder: Path) -> Contents:
    try:
        vocabulary = json.loads((folder / artifacts.VOCABULARY).read_text(encoding="utf-8"))
        lines = (folder / artifacts.MERGES).read_text(encoding="utf-8").split("\n")
        merges = [line.split(" ") for line in lines if line and not line.startswith("#version")]
        added = _added_tokens(folder)
        return Contents({**added, **vocabulary}, _pairs(merges), list(added))
    except (OSError, TypeError, ValueError) as error:
        raise KerasGPTError(f"{folder}: cannot read the vocabulary ({error})") from error


def _added_tokens(folder: Path) -> dict[str, int]:
    """Tokens that older versions of transformers kept apart: name -> id."""
    path = folder / artifacts.ADDED_TOKENS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _read_tokenizer_json(path: Path) -> Contents:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        _refuse_other_kinds(content)
        vocabulary = dict(content["model"]["vocab"])
        special_tokens = [_special_token(token) for token in content.get("added_tokens", [])]
        for name, index in special_tokens:
            vocabulary.setdefault(name, index)
        # Older files write a merge as one string "a b", newer ones as a pair.
        merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in content["model"]["merges"]]
        return Contents(vocabulary, _pairs(merges), [name for name, _ in special_tokens])
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise KerasGPTError(f"{path}: cannot read as a byte-level BPE ({error})") from error


def _pairs(merges: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    return [(left, right) for left, right in merges]


def _refuse_other_kinds(content: Mapping[str, Any]) -> None:
    """Refuse what would be encoded otherwise than GPT-2 does, so that ids are never silently wrong."""
    model, words = content["model"], content.get("pre_tokenizer") or {}
    if model["type"] != "BPE" or words.get("type") != "ByteLevel":
        raise ValueError("its model is not BPE over a ByteLevel pre-tokenizer")
    if content.get("normalizer"):
        raise ValueError("it has a normalizer, and GPT-2 has none")
    if words.get("add_prefix_space") or not words.get("use_regex", True):
        raise ValueError("its pre_tokenizer must have add_prefix_space false and use_regex true, as GPT-2's")
    if strange := [name for name in _PLAIN_MODEL if model.get(name)]:
        raise ValueError(f"its model sets {strange[0]}, and GPT-2's does not")


def _special_token(token: Mapping[str, Any]) -> tuple[str, int]:
    """The name and id of an added token, which must be a plain special one."""
    name = str(token["content"])
    if not token.get("special") or any(token.get(side) for side in ("lstrip", "rstrip", "single_word")):
        raise ValueError(f"its added token '{name}' is not a plain special token")
    return name, int(token["id"])
