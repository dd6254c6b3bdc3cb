"""Tokens as arrays: a prompt and what is written after it, and rows of different lengths side by side."""

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


def pad_right(rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    """Lay ragged rows into one array: ids int64 (B, T) padded with 0, and lengths int64 (B,)."""
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.zeros((len(rows), int(lengths.max(initial=0))), np.int64)
    for target, row in zip(ids, rows, strict=True):
        target[: len(row)] = row
    return ids, lengths
