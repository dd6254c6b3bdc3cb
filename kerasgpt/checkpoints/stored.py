"""StoredArray: an array that stays in its file until its numbers are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from kerasgpt.architectures import AnyConfig
from kerasgpt.errors import KerasGPTError


@dataclass(frozen=True)
class StoredArray:
    """One tensor of a checkpoint, left in its file until numpy asks for it; nothing is kept afterwards.

    Args:
        name: as the file has it, for an error's sentence.
        shape: of the numbers that `read` gives.
        read: reads them, of any float type.

    >>> stored = StoredArray("bias", (1, 2), lambda: np.ones((1, 2)))
    >>> np.asarray(stored.reshaped((2,)), "float32")
    array([1., 1.], dtype=float32)
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.read(), dtype=dtype)

    def reshaped(self, shape: tuple[int, ...]) -> Self:
        """The same numbers in the same order, in another shape."""
        return type(self)(self.name, shape, lambda: self.read().reshape(shape))

    def without_leading_one(self, rank: int) -> Self:
        """Drop a first axis of length 1 that is one too many for `rank` axes."""
        extra = len(self.shape) == rank + 1 and self.shape[0] == 1
        return self.reshaped(self.shape[1:]) if extra else self


Arrays = dict[str, StoredArray]
"""Tensors by the names their arrays have in a Hugging Face checkpoint, or in the file they lie in."""


Array = TypeVar("Array")


def renamed(arrays: Mapping[str, Array], new_name: Callable[[str], str], source: str) -> dict[str, Array]:
    """Arrays by other names.

    Raises:
        KerasGPTError: two of them would have the same.
    """
    names: dict[str, str] = {}
    for name in arrays:
        new = new_name(name)
        if new in names:
            raise KerasGPTError(
                f"{source}: holds {names[new]} and {name}, which are the same weight, {new}: leave one out"
            )
        names[new] = name
    return {new: arrays[name] for new, name in names.items()}


def require_layers(arrays: Sized, config: AnyConfig, source: str) -> None:
    """Refuse a configuration of more layers than there are arrays, before something is made for each of them.

    Raises:
        KerasGPTError: there are fewer arrays.
    """
    if config.num_layers > len(arrays):
        raise KerasGPTError(
            f"{source}: holds {len(arrays)} weights, and its configuration asks for {config.num_layers}"
            " layers"
        )
