"""Errors a user can act on: one sentence that names the file, the value and the remedy."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class KerasGPTError(Exception):
    """Something failed that the user can mend; the command line prints it and exits with `exit_code`."""

    exit_code = 1


class UsageError(KerasGPTError, ValueError):
    """The request itself is wrong: an unknown name, a value out of range."""

    exit_code = 2


class MissingExtraError(KerasGPTError, ImportError):
    """An optional dependency is not installed."""


_MOST_SHOWN = 16  # names that are listed beside the nearest one


def unknown_name(kind: str, name: str, known: Iterable[str], prefix: str = "") -> UsageError:
    """Build the error for a name that is not in a table, with the nearest right one.

    All known ones are named too, unless they are many and one is near.

    Args:
        kind: what the name stands for, such as ``"preset"``.
        name: the name as given.
        known: the names that exist.
        prefix: what all of them and the given one begin with, such as ``"train."``.

    Returns:
        The error, to be raised by the caller.

    >>> print(unknown_name("preset", "gtp2", ["gpt2", "gpt2-xl"]))
    unknown preset 'gtp2': did you mean 'gpt2'? Known: gpt2, gpt2-xl
    """
    names = list(known)
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    sentence = f"unknown {kind} '{prefix}{name}':"
    if nearest:
        sentence += f" did you mean '{prefix}{nearest[0]}'?"
    if not nearest or len(names) <= _MOST_SHOWN:
        sentence += f" Known: {', '.join(prefix + known for known in names)}"
    return UsageError(sentence)


def known_fields(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check that each key is a field of a dataclass.

    Raises:
        UsageError: one is not; the nearest is named.
    """
    names = [field.name for field in dataclasses.fields(cls)]
    for key in values:
        if key not in names:
            nearest = difflib.get_close_matches(str(key), names, n=1, cutoff=0.0)
            raise UsageError(f"unknown setting '{key}': did you mean '{nearest[0]}'?")
    return dict(values)


def counted(number: int, noun: str) -> str:
    """A number of things, for a sentence.

    >>> counted(1, "prompt"), counted(1200, "prompt")
    ('1 prompt', '1,200 prompts')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


_ASSERTED = "assertion failed: ["  # TensorFlow's words before an assertion's own


def graph_reason(error: BaseException) -> str:
    r"""What an error of a TensorFlow graph is about: the assertion's sentence, or the first line.

    >>> graph_reason(ValueError("Graph execution error:\n\nassertion failed: [one is missing] [x = ] [2]"))
    'one is missing'
    """
    _, asserted, rest = str(error).partition(_ASSERTED)
    return rest.partition("]")[0] if asserted else first_line(error)


def first_line(error: BaseException) -> str:
    r"""The first line of an error's message; the name of its type where it has none.

    >>> first_line(ValueError("one\ntwo")), first_line(ValueError())
    ('one', 'ValueError')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
