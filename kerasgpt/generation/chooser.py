"""Each row's next token by settings of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kerasgpt.config import GenerationConfig
from kerasgpt.errors import UsageError
from kerasgpt.generation.samplers import Seeds, sample
from kerasgpt.generation.texts import Text
from kerasgpt.protocols import Ids, Logits, Settings


def settings_of_rows(settings: Settings, num_rows: int) -> list[GenerationConfig]:
    """One for each row, the same for all where one is given.

    Raises:
        UsageError: there are more or fewer than rows.
    """
    if isinstance(settings, GenerationConfig):
        return [settings] * num_rows
    if len(settings) != num_rows:
        raise UsageError(f"{len(settings)} settings for {num_rows} prompts: give one for all, or one of each")
    return list(settings)


class Chooser:
    """Chooses tokens for rows of different settings, those of equal settings at once.

    Args:
        settings: of each row.
        row_seeds: uint64 (B,) of the sampling.
        end_of_text_id: the token that ends a row.
    """

    def __init__(self, settings: Sequence[GenerationConfig], row_seeds: Seeds, end_of_text_id: int) -> None:
        # Rows that differ in nothing but these are chosen for alike.
        alike = [
            replace(own, seed=0, stop=(), max_new_tokens=0, echo=False, prompt_lookup_num_tokens=0)
            for own in settings
        ]
        kinds: dict[GenerationConfig, int] = {}
        self._kind_of_row = np.array([kinds.setdefault(own, len(kinds)) for own in alike], np.int64)
        self._kinds = list(kinds)
        self._row_seeds = row_seeds
        self._end_of_text_id = end_of_text_id

    def choose(self, logits: Logits, rows: Ids, step: int, texts: Sequence[Text]) -> Ids:
        """Choose the next token of some rows.

        Args:
            logits: float32 (R, V) of these rows.
            rows: int64 (R,), their numbers among all B.
            step: tokens written so far.
            texts: R of them.

        Returns:
            int64 (R,).
        """
        chosen = np.empty(len(rows), np.int64)
        kinds = self._kind_of_row[rows]
        for kind in np.unique(kinds).tolist():
            members = np.flatnonzero(kinds == kind)
            chosen[members] = sample(
                logits if members.size == rows.size else logits[members],
                self._kinds[kind],
                self._row_seeds[rows[members]],
                step,
                [texts[member] for member in members.tolist()],
                self._end_of_text_id,
            )
        return chosen
