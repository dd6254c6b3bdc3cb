"""Arrays of a vocabulary's size that are used again: fresh ones cost as much as what is computed in them."""

from __future__ import annotations

import threading

import numpy as np

from kerasgpt.protocols import Logits


class _Held(threading.local):
    """What each thread holds; threads sample at once, and none may write into another's numbers."""

    def __init__(self) -> None:
        self.arrays: dict[str, Logits] = {}


_held = _Held()


def scratch(purpose: str, size: int) -> Logits:
    """An array float32 (size,) of any content, this thread's own.

    The next call of the same purpose gives the same memory. So a purpose has one user, who lets nothing of
    the array out.
    """
    array = _held.arrays.get(purpose)
    if array is None or len(array) < size:
        array = _held.arrays[purpose] = np.empty(size, np.float32)
    return array[:size]
