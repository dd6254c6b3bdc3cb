"""What lies beside a vocabulary's files: which tokens are special, and what each of them is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kerasgpt import artifacts
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError

END_OF_TEXT_ROLE = "eos_token"
ROLES = ("bos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
"""What else Hugging Face's classes ask a token for, by the name that their files have for it."""

_LISTS = ("additional_special_tokens", "extra_special_tokens")  # the latter in newer versions of transformers
_PREFIXES = ("add_prefix_space", "add_bos_token")  # what would put something before each text
_STRIPPING = ("lstrip", "rstrip", "single_word")
_CLASSES = ("GPT2Tokenizer", "CodeGenTokenizer", "PreTrainedTokenizer", "TokenizersBackend", "PythonBackend")
"""Whose files mean what GPT-2's do, or that leave it unsaid, without their ``Fast``."""


@dataclass(frozen=True)
class Settings:
    """A folder's tokenizer_config.json and special_tokens_map.json, those that are there.

    Attributes:
        files: path -> content; the first that names a token decides.
    """

    files: Mapping[Path, Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read them.

        Raises:
            KerasGPTError: one is damaged, or asks for ids that would not be GPT-2's for the same text.
        """
        names = artifacts.TOKENIZER_CONFIG, artifacts.SPECIAL_TOKENS_MAP
        paths = [artifacts.own_file(folder, name) for name in names]
        files = {path: read_json(path) for path in paths if path.is_file()}
        for path, content in files.items():
            if wrong := [name for name in _PREFIXES if content.get(name)]:
                raise KerasGPTError(
                    f"{path}: sets {wrong[0]}, and GPT-2 puts nothing before a text: its ids would be"
                    f" others than those that the model was trained on"
                )
        return cls(files)

    def require_gpt2_alone(self) -> None:
        """Refuse settings that tell of another kind of tokenizer, where no tokenizer.json says how it splits.

        Raises:
            KerasGPTError: a file names such a class, or asks for lower case.
        """
        for path, content in self.files.items():
            name = content.get("tokenizer_class")
            if isinstance(name, str) and name.removesuffix("Fast") not in _CLASSES:
                raise KerasGPTError(
                    f"{path}: its tokenizer_class is {name}, which splits text otherwise than GPT-2; give a"
                    f" folder with a {artifacts.TOKENIZER}, or GPT-2's own"
                )
            if content.get("do_lower_case"):
                raise KerasGPTError(f"{path}: sets do_lower_case, and GPT-2 keeps letters as they are")

    def named(self, role: str) -> list[str]:
        """The tokens that have a role, in the order of the files."""
        tokens = (_text_of(content.get(role)) for content in self.files.values())
        return [token for token in tokens if isinstance(token, str)]

    def special(self) -> list[str]:
        """The names of all special tokens, in any role or in none."""
        return list(dict.fromkeys(self._special()))

    def added(self) -> dict[str, int]:
        """Tokens to which an ``added_tokens_decoder`` gives an id: name -> id."""
        found: dict[str, int] = {}
        for content in self.files.values():
            decoder = content.get("added_tokens_decoder")
            for index, token in decoder.items() if isinstance(decoder, dict) else ():
                if index.isdecimal() and len(index) < 10 and isinstance(name := _text_of(token), str):
                    found.setdefault(name, int(index))
        return found

    def _special(self) -> Iterator[str]:
        for content in self.files.values():
            for name in _LISTS:
                listed = content.get(name)
                yield from (token for each in _members(listed) if isinstance(token := _text_of(each), str))
            decoder = content.get("added_tokens_decoder")
            for token in _members(decoder):
                if (
                    isinstance(token, dict)
                    and is_plain_special(token)
                    and isinstance(token.get("content"), str)
                ):
                    yield token["content"]
        for role in (*ROLES, END_OF_TEXT_ROLE):
            yield from self.named(role)


def _text_of(token: Any) -> Any:
    """What a settings file calls a token: by its name, or as an object with its content."""
    return token.get("content") if isinstance(token, dict) else token


def is_plain_special(token: Mapping[str, Any]) -> bool:
    """Whether an added token stands for no text, and leaves the text around it alone."""
    return bool(token.get("special")) and not any(token.get(side) for side in _STRIPPING)


def _members(value: Any) -> list[Any]:
    """Those of a list, or the values of an object."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
