"""A tokenizer's files in Hugging Face form: tokenizer.json, or vocab.json and merges.txt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from kerasgpt import artifacts
from kerasgpt.atomic import atomic_file
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError
from kerasgpt.tokenizer.file_settings import END_OF_TEXT_ROLE, ROLES, Settings, is_plain_special
from kerasgpt.tokenizer.vocabulary import END_OF_TEXT, byte_alphabet, is_ordinary

# What a tokenizer.json's BPE may say otherwise than GPT-2, and what then is GPT-2's.
_PLAIN_MODEL = (
    "dropout",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)
_END_OF_WORD = "</w>"  # of CLIP's pieces and GPT-1's


@dataclass(frozen=True)
class Contents:
    """What the files say.

    Attributes:
        vocabulary: piece -> id, special tokens included.
        merges: pairs of pieces, the first to be merged first.
        special_tokens: names of the special tokens, ``<|endoftext|>`` included if it is listed.
        end_of_text: the one that ends a text, ``eos_token`` in Hugging Face's files.
        roles: what their classes ask others of them for, such as ``pad_token`` -> its name.
    """

    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]
    special_tokens: list[str]
    end_of_text: str = END_OF_TEXT
    roles: Mapping[str, str] = field(default_factory=dict)


def folder_of(folder: Path) -> Path:
    """The folder that has the files: of a run its best model's, else the folder itself."""
    own = artifacts.MANIFEST, artifacts.CONFIG, artifacts.TOKENIZER, artifacts.VOCABULARY
    model = folder / artifacts.RUN_MODEL
    has_none = not any((folder / name).is_file() for name in own)
    return model if has_none and (model / artifacts.TOKENIZER).is_file() else folder


def read(folder: Path) -> Contents:
    """Read a folder's tokenizer.json, or else its vocab.json and merges.txt.

    Raises:
        KerasGPTError: nothing there can be read as GPT-2's kind of tokenizer.
    """
    settings = Settings.read(folder)
    if (folder / artifacts.TOKENIZER).is_file():
        contents = _read_tokenizer_json(artifacts.own_file(folder, artifacts.TOKENIZER))
    elif (folder / artifacts.VOCABULARY).is_file() and (folder / artifacts.MERGES).is_file():
        contents = _read_vocabulary_files(folder, settings)
    else:
        raise KerasGPTError(
            f"{folder}: no {artifacts.TOKENIZER}, and no {artifacts.VOCABULARY} with {artifacts.MERGES};"
            f" give a folder that has one, or a preset's name such as 'gpt2'"
        )
    named = {role: next(iter(settings.named(role)), "") for role in ROLES}
    roles = {role: token for role, token in named.items() if token in contents.special_tokens}
    return replace(contents, end_of_text=_end_of_text(settings, contents), roles=roles)


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
    ends = dict.fromkeys(("bos_token", END_OF_TEXT_ROLE, "unk_token"), contents.end_of_text)
    names: dict[str, Any] = {**ends, **contents.roles}
    if others := [name for name in contents.special_tokens if name not in names.values()]:
        names["additional_special_tokens"] = others
    settings = {"tokenizer_class": "GPT2Tokenizer", **names, "add_prefix_space": False}
    if max_sequence_length is not None:
        settings["model_max_length"] = int(max_sequence_length)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in contents.merges)]
    texts = {
        artifacts.TOKENIZER: tokenizer_json,
        artifacts.TOKENIZER_CONFIG: artifacts.json_text(settings),
        artifacts.SPECIAL_TOKENS_MAP: artifacts.json_text(names),
        artifacts.VOCABULARY: json.dumps(contents.vocabulary, ensure_ascii=False),
        artifacts.MERGES: "\n".join(lines) + "\n",
    }
    with ExitStack() as stack:  # all are written before the first is renamed
        for name, text in texts.items():
            stack.enter_context(atomic_file(folder / name)).write_text(text, encoding="utf-8")


def read_vocabulary(path: Path) -> dict[str, int]:
    """Read a file like vocab.json: piece -> id.

    Raises:
        KerasGPTError: it is missing or damaged.
    """
    try:
        return _ids(read_json(path))
    except ValueError as error:
        raise KerasGPTError(f"{path}: cannot read the vocabulary ({error}); copy it again") from error


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Read a file like merges.txt: a pair a line; the first line may say which version the file is of.

    Raises:
        KerasGPTError: it is missing or damaged.
    """
    try:
        first, *others = path.read_text(encoding="utf-8").split("\n")
        lines = others if first.startswith("#version") else [first, *others]
        return _pairs([line.split(" ") for line in lines if line])
    except (OSError, ValueError) as error:
        raise KerasGPTError(f"{path}: cannot read the merges ({error}); copy it again") from error


def _end_of_text(settings: Settings, contents: Contents) -> str:
    """What the settings beside a vocabulary call ``eos_token``.

    A piece of ordinary text ends nothing here: then it is GPT-2's.
    """
    for token in settings.named(END_OF_TEXT_ROLE):
        if token == END_OF_TEXT:
            break
        if token in contents.vocabulary and not is_ordinary(token, contents.merges):
            return token
    return END_OF_TEXT


def _read_vocabulary_files(folder: Path, settings: Settings) -> Contents:
    vocabulary, merges, apart = (
        artifacts.own_file(folder, name)
        for name in (artifacts.VOCABULARY, artifacts.MERGES, artifacts.ADDED_TOKENS)
    )
    settings.require_gpt2_alone()
    ids = read_vocabulary(vocabulary)
    listed = read_vocabulary(apart) if apart.is_file() else {}  # older versions of transformers have this
    added = {**{name: index for name, index in settings.added().items() if name not in ids}, **listed}
    named = settings.special()
    if text := [name for name in added if name not in (*named, END_OF_TEXT)]:
        source = apart if text[0] in listed else artifacts.own_file(folder, artifacts.TOKENIZER_CONFIG)
        raise KerasGPTError(
            f"{source}: its added token '{text[0]}' is not a plain special token, or none of"
            f" {artifacts.TOKENIZER_CONFIG} and {artifacts.SPECIAL_TOKENS_MAP} calls it one"
        )
    names = {index: name for name, index in ids.items()}
    if taken := [name for name in added if name not in ids and added[name] in names]:
        index = added[taken[0]]
        raise KerasGPTError(
            f"{folder}: {vocabulary.name} has the id {index} for '{names[index]}', and the settings beside it"
            f" for '{taken[0]}': take one of them away"
        )
    contents = Contents({**added, **ids}, read_merges(merges), list(added))
    if any(right.endswith(_END_OF_WORD) for _, right in contents.merges):
        made = {left + right for left, right in contents.merges}
        ends = (right for _, right in contents.merges if right.endswith(_END_OF_WORD))
        if strange := next((right for right in ends if right not in made), ""):
            raise KerasGPTError(
                f"{merges}: its pieces end words, as '{strange}' does, and GPT-2's do not; give files of"
                " GPT-2's kind"
            )
    there = (name for name in named if name in contents.vocabulary)
    special = [name for name in there if not is_ordinary(name, contents.merges)]
    return replace(contents, special_tokens=list(dict.fromkeys([*added, *special])))


def _read_tokenizer_json(path: Path) -> Contents:
    content = read_json(path)
    try:
        _refuse_other_kinds(content)
        vocabulary = _ids(content["model"]["vocab"])
        special_tokens = [_special_token(token) for token in content.get("added_tokens", [])]
        for name, index in special_tokens:
            vocabulary.setdefault(name, index)
        # Older files write a merge as one string "a b", newer ones as a pair.
        merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in content["model"]["merges"]]
        if content["model"].get("unk_token") in vocabulary and byte_alphabet().keys() - vocabulary.keys():
            raise ValueError(
                "its model writes unk_token for bytes that its vocabulary lacks, and GPT-2's lacks none"
            )
        return Contents(vocabulary, _pairs(merges), [name for name, _ in special_tokens])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise KerasGPTError(f"{path}: cannot read as a byte-level BPE ({error})") from error


def _ids(vocabulary: Any) -> dict[str, int]:
    if not isinstance(vocabulary, dict):
        raise ValueError(f"its vocabulary is a JSON {type(vocabulary).__name__}, not an object")
    if set(map(type, vocabulary.values())) - {int}:  # of True too, which Python takes for 1
        piece, index = next(item for item in vocabulary.items() if type(item[1]) is not int)
        raise ValueError(f"the id of {json.dumps(piece)} is {json.dumps(index)[:60]}, not an integer")
    return vocabulary


def _pairs(merges: Sequence[Any]) -> list[tuple[str, str]]:
    # All at once: one by one, GPT-2's 50,000 would take a tenth of the time that a start may take.
    is_fine = set(map(type, merges)) <= {list} and set(map(type, chain.from_iterable(merges))) <= {str}
    if not is_fine or set(map(len, merges)) - {2}:
        wrong = next(pair for pair in merges if not _is_pair(pair))
        raise ValueError(f"the merge {json.dumps(wrong)[:60]} is not a pair of pieces")
    return [(left, right) for left, right in merges]


def _is_pair(merge: Any) -> bool:
    return isinstance(merge, list) and len(merge) == 2 and all(isinstance(piece, str) for piece in merge)


def _refuse_other_kinds(content: Mapping[str, Any]) -> None:
    """Refuse what would be encoded otherwise than GPT-2 does, so that ids are never silently wrong."""
    model, words = content["model"], content.get("pre_tokenizer") or {}
    if model["type"] != "BPE" or words.get("type") != "ByteLevel":
        raise ValueError("its model is not BPE over a ByteLevel pre-tokenizer")
    if content.get("normalizer"):
        raise ValueError("it has a normalizer, and GPT-2 has none")
    if words.get("add_prefix_space") or not words.get("use_regex", True):
        raise ValueError("its pre_tokenizer must have add_prefix_space false and use_regex true, as GPT-2's")
    if _adds_tokens(content.get("post_processor")):
        raise ValueError("its post_processor adds tokens to each text, and GPT-2's adds none")
    if strange := [name for name in _PLAIN_MODEL if model.get(name)]:
        raise ValueError(f"its model sets {strange[0]}, and GPT-2's does not")


def _adds_tokens(processor: Any) -> bool:
    """Whether what comes after the merging puts special tokens around a text."""
    if not isinstance(processor, dict):
        return False
    parts = [part for part in processor.get("single") or () if isinstance(part, dict)]
    wraps = processor.get("type") in ("BertProcessing", "RobertaProcessing")
    inner = processor.get("processors") or ()
    return wraps or any("SpecialToken" in part for part in parts) or any(map(_adds_tokens, inner))


def _special_token(token: Mapping[str, Any]) -> tuple[str, int]:
    """The name and id of an added token, which must be a plain special one."""
    name = token["content"]
    if not isinstance(name, str) or type(token["id"]) is not int:
        raise ValueError(f"its added token {json.dumps(token)[:60]} has no name that is a string, or no id")
    if not is_plain_special(token):
        raise ValueError(f"its added token '{name}' is not a plain special token")
    return name, token["id"]
