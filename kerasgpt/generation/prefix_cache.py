"""Beginnings of prompts that were read before, so that a later prompt need not be read from its start."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

import numpy as np

from kerasgpt.protocols import Ids

BLOCK_TOKENS: Final = 16
"""Beginnings are shared in multiples of so many tokens. ONNX Runtime's kernels for 8 and 4 bits read tokens
in groups, and the last, incomplete group by other arithmetic; cut here, a prompt falls into the same groups
as when it is read at once."""

SHORTEST_PREFIX: Final = 64
"""Tokens from which on remembering pays: fewer are read about as fast as they are copied."""


class PrefixCache:
    """The states after prompts read lately; when there are too many, those not asked for longest go first.

    May be used from several threads.

    Args:
        num_tokens: of all states together, at most.

    >>> cache = PrefixCache(num_tokens=1000)
    >>> cache.store([7] * 100, "a state")
    >>> cache.longest([7] * 90 + [8] * 30)
    (80, 'a state', 96)
    """

    def __init__(self, num_tokens: int) -> None:
        self._limit = num_tokens
        self._entries: dict[bytes, tuple[Ids, Any]] = {}  # the one asked for last comes last
        self._lock = Lock()

    @property
    def num_tokens(self) -> int:
        """Of all states together, now."""
        with self._lock:
            return self._total()

    def longest(self, prompt: Sequence[int]) -> tuple[int, Any, int]:
        """Find the state that begins as a prompt does for longest.

        Returns:
            The number of tokens to be used, a multiple of `BLOCK_TOKENS` that leaves at least one to read;
            the state, and of how many tokens it is. (0, None, 0) where they are fewer than `SHORTEST_PREFIX`.
        """
        ids, best = np.asarray(prompt, np.int64), (0, b"")
        with self._lock:
            for key, (others, _) in self._entries.items():
                best = max(best, (num_shared(ids, others), key))
            num_tokens = whole_blocks(min(best[0], len(ids) - 1))
            if num_tokens < SHORTEST_PREFIX:
                return 0, None, 0
            entry = self._entries.pop(best[1])
            self._entries[best[1]] = entry
            return num_tokens, entry[1], len(entry[0])

    def has_room(self, num_tokens: int) -> bool:
        """Whether a state of so many tokens is remembered at all."""
        return num_tokens <= self._limit

    def store(self, prompt: Sequence[int], state: Any) -> None:
        """Remember the state after the whole blocks of a prompt, in place of those that it goes on from.

        One that is longer than the limit is not remembered, and drives out no other.
        """
        ids = np.array(prompt[: whole_blocks(len(prompt))], np.int64)
        if not self.has_room(len(ids)):
            return
        with self._lock:
            for key, (others, _) in [*self._entries.items()]:
                if num_shared(ids, others) == len(others):
                    del self._entries[key]
            self._entries[ids.tobytes()] = ids, state
            while self._total() > self._limit:
                del self._entries[next(iter(self._entries))]

    def _total(self) -> int:
        return sum(len(ids) for ids, _ in self._entries.values())


def num_shared(first: Ids, second: Ids) -> int:
    """How many tokens two texts begin with in common.

    >>> num_shared(np.array([1, 2, 3, 4]), np.array([1, 2, 4]))
    2
    """
    length = min(len(first), len(second))
    differ = first[:length] != second[:length]
    return int(differ.argmax()) if differ.any() else length


def whole_blocks(num_tokens: int) -> int:
    """The multiple of `BLOCK_TOKENS` below, or the number itself."""
    return num_tokens // BLOCK_TOKENS * BLOCK_TOKENS
