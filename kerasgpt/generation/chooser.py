"""Each row's next token by settings of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from kerasgpt import checks
from kerasgpt.errors import UsageError
from kerasgpt.generation.samplers import sample
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Ids, Logits, Settings


def settings_of_rows(settings: Settings, num_rows: int) -> list[GenerationConfig]:
    """One for each row, the same for all where one is given.

    Raises:
        UsageError: there are more or fewer than rows, or something else is among them.
    """
    if isinstance(settings, GenerationConfig):
        return [settings] * num_rows
    wanted = "a GenerationConfig or a sequence of them"
    given = checks.sequence("settings", settings, wanted)
    for each in given:
        if not isinstance(each, GenerationConfig):
            raise checks.refusal("a member of settings", each, "a GenerationConfig")
    if len(given) != num_rows:
        raise UsageError(f"{len(given)} settings for {num_rows} prompts: give one for all, or one of each")
    return given


class ChosenFor(Protocol):
    """What a chooser asks of a row."""

    @property
    def settings(self) -> GenerationConfig:
        """How it is written."""

    @property
    def seed(self) -> int:
        """Of its sampling."""

    @property
    def num_written(self) -> int:
        """Tokens written so far."""

    @property
    def text(self) -> Text:
        """Prompt and continuation."""


class Chooser:
    """Chooses tokens for rows of different settings, those of equal settings at once.

    Args:
        rows: to choose for; each step reads what they hold by then.
        end_of_text_id: the token that ends a row.
    """

    def __init__(self, rows: Sequence[ChosenFor], end_of_text_id: int) -> None:
        self._rows = rows
        self._seeds = np.array([row.seed for row in rows], np.uint64)
        self._end_of_text_id = end_of_text_id
        places: dict[GenerationConfig, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(_decisive(row.settings), []).append(place)
        self._groups = [(settings, np.array(group, np.int64)) for settings, group in places.items()]

    def choose(self, logits: Logits) -> Ids:
        """Choose the next token of each row, int64 (B,), from logits float32 (B, V)."""
        chosen = np.empty(len(self._rows), np.int64)
        with np.errstate(invalid="ignore"):  # of logits that are no numbers, whoever writes them tells
            for settings, places in self._groups:
                rows = [self._rows[place] for place in places.tolist()]
                chosen[places] = sample(
                    logits if len(self._groups) == 1 else logits[places],
                    settings,
                    self._seeds[places],
                    np.array([row.num_written for row in rows]),
                    [row.text for row in rows],
                    self._end_of_text_id,
                )
        return chosen


@lru_cache(maxsize=256)
def _decisive(settings: GenerationConfig) -> GenerationConfig:
    """The settings without those that do not decide which token is chosen."""
    return replace(settings, seed=0, stop=(), max_new_tokens=0, echo=False, prompt_lookup_num_tokens=0)
