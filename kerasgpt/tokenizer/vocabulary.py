"""Pieces and their numbers: GPT-2's alphabet of bytes, and the vocabulary that merges make."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, TypeAlias

from kerasgpt.errors import UsageError, unknown_name

END_OF_TEXT = "<|endoftext|>"

AllowedSpecial: TypeAlias = Literal["all"] | Collection[str]
"""Special tokens to be recognised in a text: their names, or ``"all"``."""

UnknownIds: TypeAlias = Literal["strict", "ignore"]
"""What to do about ids that are not in the vocabulary."""


@functools.cache
def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each of the 256 bytes: character -> byte (Radford et al. 2019).

    Printable Latin-1 characters stand for themselves, the others are moved up from U+0100 on.

    >>> byte_alphabet()["A"], byte_alphabet()["Ġ"]
    (65, 32)
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def piece_bytes(piece: str) -> bytes:
    """The bytes a piece stands for; one that is not written in the alphabet stands for its own UTF-8.

    >>> piece_bytes("ĠA"), piece_bytes("a b")
    (b' A', b'a b')
    """
    alphabet = byte_alphabet()
    try:
        return bytes([alphabet[character] for character in piece])
    except KeyError:
        return piece.encode()


def well_formed(text: str) -> str:
    """Join surrogate pairs to characters, and replace half ones by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def learned_vocabulary(
    merges: Iterable[tuple[str, str]], special_tokens: Sequence[str] = ()
) -> dict[str, int]:
    """Number the pieces a list of merges makes.

    Args:
        merges: in the order they were learned.
        special_tokens: further ones beside ``<|endoftext|>``.

    Returns:
        piece -> id: the 256 bytes, each merge in turn, the special tokens, ``<|endoftext|>`` last.
    """
    alphabet = byte_alphabet()
    return _numbered(sorted(alphabet, key=alphabet.__getitem__), merges, special_tokens)


def gpt2_vocabulary(merges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Number the pieces of GPT-2's own merges as its vocab.json does.

    Returns:
        piece -> id: the bytes, those first that print as themselves, each merge in turn, ``<|endoftext|>``.

    >>> list(gpt2_vocabulary([("Ġ", "t")]).items())[255:]
    [('Ń', 255), ('Ġt', 256), ('<|endoftext|>', 257)]
    """
    return _numbered(byte_alphabet(), merges)


def _numbered(
    alphabet: Iterable[str], merges: Iterable[tuple[str, str]], special_tokens: Sequence[str] = ()
) -> dict[str, int]:
    made = ("".join(pair) for pair in merges)
    pieces = [*alphabet, *made, *special_tokens, END_OF_TEXT]
    return {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}


def is_ordinary(piece: str, merges: Iterable[tuple[str, str]]) -> bool:
    """Whether a text can hold a piece: it is a byte's, or merged."""
    return piece in byte_alphabet() or any(left + right == piece for left, right in merges)


def check_special_tokens(
    names: Iterable[str], vocabulary: Collection[str], merges: Iterable[tuple[str, str]]
) -> None:
    """Refuse special tokens that are missing, or that a text could smuggle in by being merged into them.

    Raises:
        UsageError: a name is empty, not in the vocabulary, or a byte's or a merge's piece.
    """
    ordinary = byte_alphabet().keys() | {left + right for left, right in merges}
    for name in names:
        if name not in vocabulary:
            raise UsageError(f"the vocabulary has no {name}; add it as the last piece")
        if not name:
            raise UsageError("a special token has no name, and would stand between all characters: name it")
        if name in ordinary:
            raise UsageError(f"special token '{name}' is also a piece of ordinary text: give another name")


def special_pattern(allowed: AllowedSpecial, known: Collection[str]) -> re.Pattern[str]:
    """A pattern whose one group is any of the allowed special tokens, the longest first.

    Raises:
        UsageError: a name is not among the known ones.

    >>> special_pattern("all", ["<|a|>"]).split("x<|a|>y")
    ['x', '<|a|>', 'y']
    """
    names = list(known) if allowed == "all" else [allowed] if isinstance(allowed, str) else list(allowed)
    for name in names:
        if name not in known:
            raise unknown_name("special token", name, known)
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})")
