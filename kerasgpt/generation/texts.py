"""Rows of tokens side by side: prompts of different lengths, and what is written after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasgpt.protocols import Ids


@dataclass(frozen=True)
class Text:
    """One row's tokens so far.

    Attributes:
        ids: int64 (S,), prompt and continuation.
        num_prompt_tokens: how many of them are the prompt.
    """

    ids: Ids
    num_prompt_tokens: int

    @property
    def continuation(self) -> Ids:
        """What was written after the prompt."""
        return self.ids[self.num_prompt_tokens :]


class Texts:
    """The tokens of all rows as they grow.

    Args:
        prompts: ids.
        num_new_tokens: the most that any of them will grow by.

    >>> texts = Texts([[1, 2, 3], [4]], num_new_tokens=2)
    >>> texts.append(np.array([1]), np.array([9]))
    >>> [text.ids.tolist() for text in texts.of_rows(np.array([0, 1]))]
    [[1, 2, 3], [4, 9]]
    """

    def __init__(self, prompts: Sequence[Sequence[int]], num_new_tokens: int) -> None:
        ids, self._starts = pad_right(prompts)
        self._ids = np.pad(ids, ((0, 0), (0, num_new_tokens)))
        self._ends = self._starts.copy()

    def append(self, rows: Ids, chosen: Ids) -> None:
        """Let each of these rows grow by its token."""
        self._ids[rows, self._ends[rows]] = chosen
        self._ends[rows] += 1

    def of_rows(self, rows: Ids) -> list[Text]:
        """What these rows hold now; to be read before they grow."""
        return [
            Text(self._ids[row, :end], start)
            for row, end, start in zip(
                rows.tolist(), self._ends[rows].tolist(), self._starts[rows].tolist(), strict=True
            )
        ]


def pad_right(rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    """Lay ragged rows into one array: ids int64 (B, T) padded with 0, and lengths int64 (B,)."""
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.zeros((len(rows), int(lengths.max(initial=0))), np.int64)
    for target, row in zip(ids, rows, strict=True):
        target[: len(row)] = row
    return ids, lengths
