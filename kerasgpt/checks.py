"""What a caller gave for a setting, as the type that is meant, or a sentence that says what it must be.

A bool is no number here, and a text is no sequence; numpy's scalars are taken for Python's.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Mapping
from numbers import Real
from operator import index
from typing import Any

from kerasgpt.errors import UsageError


def refusal(name: str, value: object, wanted: str) -> UsageError:
    """Build the error for a setting that has another value than it may have.

    >>> print(refusal("top_k", 2.5, "an integer"))
    top_k is 2.5: it must be an integer
    """
    return UsageError(f"{name} is {reprlib.repr(value)}: it must be {wanted}")


def flag(name: str, value: Any, wanted: str = "true or false") -> bool:
    """Read true or false.

    Raises:
        UsageError: it is neither.
    """
    if type(value).__name__ not in ("bool", "bool_"):  # numpy's too, which takes a while to import
        raise refusal(name, value, wanted)
    return bool(value)


def integer(name: str, value: Any, wanted: str = "an integer") -> int:
    """Read a whole number.

    Raises:
        UsageError: it is none; a float is none, whatever its value.
    """
    if not isinstance(value, bool):
        try:
            return index(value)
        except TypeError:
            pass
    raise refusal(name, value, wanted)


def at_least(name: str, value: Any, least: int, words: str = "") -> int:
    """Read a whole number that has a smallest value, which `words` explain.

    Raises:
        UsageError: it is no integer, or less.

    >>> at_least("prefill_tokens", 256, 1)
    256
    """
    wanted = f"{least}{words} or more, an integer"
    found = integer(name, value, wanted)
    if found < least:
        raise refusal(name, found, wanted)
    return found


def number(name: str, value: Any, wanted: str = "a number") -> float:
    """Read a number, which may be infinite.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise refusal(name, value, wanted)
    try:
        return float(value)
    except OverflowError as error:  # an integer beyond all floats
        raise refusal(name, value, wanted) from error


def num_threads(value: Any, least: int = 0) -> int:
    """Read a number of threads; what is far more than the cores would only make them wait for each other.

    Raises:
        UsageError: it is no integer, less than the least, or more than 4 a core and 256.
    """
    most = max(4 * (os.cpu_count() or 1), 256)
    wanted = f"{least} or more, an integer of at most {most}"
    threads = integer("num_threads", value, wanted)
    if not least <= threads <= most:
        raise refusal("num_threads", threads, wanted)
    return threads


def sequence(name: str, value: Any, wanted: str) -> list[Any]:
    """Read the members of a sequence.

    Raises:
        UsageError: it is none, or a text, whose characters nobody means.
    """
    if isinstance(value, str | bytes | bytearray | Mapping):
        raise refusal(name, value, wanted)
    try:
        members = iter(value)
    except TypeError:
        raise refusal(name, value, wanted) from None
    return list(members)


def refuse_text(name: str, value: Any) -> None:
    """Refuse one text in place of several, as a sequence of which it would be its characters.

    Raises:
        UsageError: it is one.

    >>> refuse_text("prompts", ["ROMEO:"])
    """
    if isinstance(value, str):
        raise UsageError(f"a list of {name} is needed, and this is one text: write [{value[:20]!r}]")


def several(name: str, value: Any) -> list[Any]:
    """Read what there may be several of, such as prompts, from any sequence or iterator.

    Raises:
        UsageError: it is none, or one text.
    """
    refuse_text(name, value)
    return sequence(name, value, "a list")


def ids(name: str, value: Any, wanted: str = "a sequence of ids") -> tuple[int, ...]:
    """Read token ids.

    Raises:
        UsageError: it is no sequence of integers.
    """
    of = f"a member of {name}"
    return tuple(
        integer(of, member, "an id, which is an integer") for member in sequence(name, value, wanted)
    )


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Read texts; a single one stands for a sequence of it, and empty ones are left out.

    Raises:
        UsageError: a member is no text.
    """
    wanted = "a text or a sequence of texts"
    members = [value] if isinstance(value, str) else sequence(name, value, wanted)
    for member in members:
        if not isinstance(member, str):
            raise refusal(f"a member of {name}", member, "a text")
    return tuple(member for member in members if member)


def words(name: str, value: Any) -> tuple[tuple[int, ...], ...]:
    """Read sequences of token ids.

    Raises:
        UsageError: it is no sequence of sequences of integers.
    """
    members = sequence(name, value, "a sequence of sequences of ids")
    return tuple(ids(f"a member of {name}", member) for member in members)


class FixedBiases(dict[int, float]):
    """Biases by token as frozen settings hold them: whoever wants others makes other settings."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("logit_bias is frozen: make other settings by dataclasses.replace")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied and unpickled whole, as it cannot be filled."""
        return type(self), (dict(self),)


def biases(name: str, value: Any, largest: float) -> FixedBiases:
    """Read a mapping of token ids, which JSON makes texts of, to numbers.

    Raises:
        UsageError: it is none, or a number is larger, whatever its sign.
    """
    wanted = f"a mapping of ids to numbers from {-largest:g} to {largest:g}; forbid a token by bad_words_ids"
    try:
        pairs = dict(value)
    except (TypeError, ValueError) as error:
        raise refusal(name, value, wanted) from error
    read = {}
    for key, bias in pairs.items():
        is_written = isinstance(key, str) and key.isdecimal()
        try:
            token = int(key) if is_written else integer(name, key)
            read[token] = number(name, bias)
        except UsageError as error:
            raise refusal(name, {key: bias}, wanted) from error
        if not abs(read[token]) <= largest:
            raise refusal(name, {key: bias}, wanted)
    return FixedBiases(read)
