"""Values of a recipe: read from ``section.key=value``, checked against the type of their field."""

from __future__ import annotations

import glob
import json
import os
import tomllib
import types
import typing
from collections.abc import Iterable
from typing import Any

from kerasgpt import checks
from kerasgpt.errors import UsageError, unknown_name


def parse_override(override: str, sections: Iterable[str]) -> tuple[str, str, Any]:
    """Take a setting apart into section, key and value; what is no TOML value is a string.

    Raises:
        UsageError: it is not of this form, or there is no such section.

    >>> parse_override("train.steps=500", ["train"]), parse_override("model.preset=gpt2", ["model"])
    (('train', 'steps', 500), ('model', 'preset', 'gpt2'))
    """
    name, equals, text = override.partition("=")
    section, _, key = name.strip().partition(".")
    if not equals or not key:
        raise UsageError(f"setting '{override}': write it as section.key=value, such as train.steps=500")
    if section not in sections:
        raise unknown_name("section", section, sections)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:  # no TOML, or a number of more digits than Python reads
        value = text.strip()  # a bare word is a string, as a shell's user writes it
    return section, key, value


def in_toml(value: Any) -> str:
    r"""A value as TOML spells it, which is as JSON does, but for one character that TOML wants escaped.

    >>> print(in_toml("a\x7fb"), in_toml((1, 2)))
    "a\u007fb" [1, 2]
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def refuse_unspellable(path: str) -> None:
    """Refuse a file's or folder's name that has bytes which are no UTF-8: no recipe or report can spell it.

    Raises:
        UsageError: it is such a name.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        shown = path.encode("utf-8", "backslashreplace").decode()
        raise UsageError(f"{shown}: its name is not UTF-8, as recipes and reports are: rename it") from error


def absolute_pattern(path: str) -> str:
    """A file or a pattern from the root on; brackets of the working folder's own name stay what they are.

    >>> os.path.relpath(absolute_pattern("fineweb/*.bin"))
    'fineweb/*.bin'
    """
    if os.path.isabs(path) or os.path.exists(path):  # what is there is read as the file that it is
        return os.path.abspath(path)
    return os.path.abspath(os.path.join(glob.escape(os.getcwd()), path))


def as_tuple(value: Any) -> tuple[Any, ...]:
    """A sequence as a tuple, so that a list is the same setting; a text or path alone is one of it.

    >>> as_tuple(["a", "b"]), as_tuple("a.txt"), as_tuple(None)
    (('a', 'b'), ('a.txt',), ())
    """
    members = () if value is None else [value] if isinstance(value, str | os.PathLike) else value
    return tuple(os.fspath(each) if isinstance(each, os.PathLike) else each for each in members)


def typed(name: str, value: Any, wanted: Any) -> Any:
    """Check a value from TOML against a field's type; an integer will do for a float, a string for a list.

    Raises:
        UsageError: it is of another type.

    >>> typed("train.learning_rate", 1, float), typed("data.paths", "a.txt", tuple[str, ...])
    (1.0, ('a.txt',))
    """
    options = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    for option in options:
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return checks.number(name, value, "a number, and none beyond 1.8e308")
        if typing.get_origin(option) is tuple:
            kind = typing.get_args(option)[0]
            items = value if isinstance(value, list | tuple) else [value]
            if all(isinstance(item, str) == (kind is str) for item in items):
                return tuple(typed(name, item, kind) for item in items)
        elif typing.get_origin(option) is typing.Literal:
            if isinstance(value, str):
                return value
        elif type(value) is option:
            return value
    words: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    words |= {tuple[float, ...]: "a list of numbers", tuple[str, ...]: "a list of texts"}
    raise UsageError(f"{name} is {value!r}: it must be {words.get(options[0], 'a text')}")
