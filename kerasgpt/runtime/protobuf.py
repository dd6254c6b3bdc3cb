"""Protobuf's wire format: a message as the fields it was written with, nothing copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

Value: TypeAlias = int | memoryview
"""A number, or the bytes of a text, of a message, or of what has a fixed length."""

_VARINT: Final = 0
_LENGTH_BEFORE: Final = 2
_FIXED_LENGTHS: Final = {1: 8, 5: 4}  # kind -> bytes
_MAX_SHIFT: Final = 63


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """The fields of a message, each with its number, in the order they lie there.

    Raises:
        ValueError: this is no message, or a part of one.

    >>> [(number, value if isinstance(value, int) else bytes(value)) for number, value in fields(
    ...     memoryview(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69])))]
    [(1, 150), (2, b'hi')]
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if kind == _LENGTH_BEFORE:
            length, position = _varint(message, position)
        elif kind in _FIXED_LENGTHS:
            length = _FIXED_LENGTHS[kind]
        else:
            raise ValueError(f"no field begins with {key}")
        if position + length > len(message):
            raise ValueError(f"{position + length - len(message)} bytes are missing at its end")
        yield key >> 3, message[position : position + length]
        position += length


def numbers(value: Value) -> list[int]:
    """The numbers of a repeated field, be they written one by one or packed."""
    if isinstance(value, int):
        return [value]
    found, position = [], 0
    while position < len(value):
        number, position = _varint(value, position)
        found.append(number)
    return found


def text(value: Value) -> str:
    """A field as text."""
    if isinstance(value, int):
        raise ValueError("a number stands where text belongs")
    return str(value, "utf-8")


def message(value: Value) -> memoryview:
    """A field as a message."""
    if isinstance(value, int):
        raise ValueError("a number stands where a message belongs")
    return value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    result = 0
    for shift in range(0, _MAX_SHIFT + 1, 7):
        if position >= len(data):
            raise ValueError("it ends within a number")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise ValueError("a number never ends")
