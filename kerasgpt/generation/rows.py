"""Texts as they grow, token by token, each by settings of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TypeAlias

import numpy as np

from kerasgpt.generation.chooser import Chooser
from kerasgpt.generation.probabilities import logprobs_of, refuse_no_numbers
from kerasgpt.generation.stopping import room
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import FinishReason, Ids, Logits

EndsText: TypeAlias = Callable[[int, int], bool]
"""Told a row's number and its newest token; answers whether a stop string ends the row here."""

Fails: TypeAlias = Callable[[int, Exception], None]
"""Told a row's number and what went wrong with that row alone, which ends there."""


@dataclass(frozen=True)
class Token:
    """One token written.

    Attributes:
        row: number of its row; in `decode` the index of the prompt.
        id: the token.
        logprob: its natural-log probability under the model's unmodified softmax.
        finish_reason: why the row ends with it, or None.
    """

    row: int
    id: int
    logprob: float
    finish_reason: FinishReason | None


class Row:
    """One text as it grows.

    Args:
        number: by which its tokens name it.
        prompt: ids, at least one and fewer than the context.
        settings: of the row.
        seed: of its sampling, below 2^64.
        context: the most tokens that the model reads.

    Attributes:
        limit: tokens that may be written, 0 for none at all.
        num_written: tokens written so far.
    """

    def __init__(
        self, number: int, prompt: Sequence[int], settings: GenerationConfig, seed: int, context: int
    ) -> None:
        self.number, self.prompt, self.settings, self.seed = number, prompt, settings, seed
        self.limit = room(len(prompt), settings.max_new_tokens, context)
        self.num_written = 0
        self._ids = np.zeros(len(prompt) + self.limit, np.int64)
        self._ids[: len(prompt)] = prompt

    @property
    def text(self) -> Text:
        """What the row holds now; to be read before it grows."""
        start = len(self.prompt)
        return Text(self._ids[: start + self.num_written], start)

    @property
    def newest(self) -> int:
        """The last token."""
        return int(self._ids[len(self.prompt) + self.num_written - 1])

    def append(self, index: int) -> None:
        """Let the row grow by a token."""
        self._ids[len(self.prompt) + self.num_written] = index
        self.num_written += 1


class Writer:
    """Lets rows grow: chooses a token for each and says which of them end with it.

    Args:
        rows: none of which has ended.
        end_of_text_id: the token that ends a row.
        ends_text: asked after each token about stop strings.
        fails: told of rows that cannot go on, the others going on; None means that the error is raised.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        end_of_text_id: int,
        ends_text: EndsText | None = None,
        fails: Fails | None = None,
    ) -> None:
        self.rows = rows
        self._chooser: Chooser | None = None  # made when it is asked, for it may refuse a row's settings
        self._end_of_text_id = end_of_text_id
        self._ends_text = ends_text
        self._fails = fails

    def write(self, logits: Logits) -> tuple[list[Token], list[int]]:
        """Let each row grow by a token.

        Args:
            logits: float32 (R, V), those that follow the rows.

        Returns:
            A token of each row that has not failed, and the places of those rows that go on.
        """
        chosen, failed = self._choose(logits)
        logprobs = logprobs_of(logits, chosen).tolist()
        tokens, going = [], []
        for place, (row, index, logprob) in enumerate(zip(self.rows, chosen.tolist(), logprobs, strict=True)):
            try:
                if place in failed or isnan(logprob):
                    refuse_no_numbers(logits[place])
                if place in failed:
                    raise failed[place]
                row.append(index)
                reason = self._reason(row, index)
            except Exception as error:
                if self._fails is None:
                    raise
                self._fails(row.number, error)
                continue
            tokens.append(Token(row.number, index, logprob, reason))
            if reason is None:
                going.append(place)
        return tokens, going

    def _choose(self, logits: Logits) -> tuple[Ids, dict[int, Exception]]:
        """The next token of each row, int64 (R,), and by their places the rows that have none."""
        try:
            self._chooser = self._chooser or Chooser(self.rows, self._end_of_text_id)
            return self._chooser.choose(logits), {}
        except Exception:
            if self._fails is None:
                refuse_no_numbers(logits)
                raise
        chosen, failed = np.zeros(len(self.rows), np.int64), {}
        for place, row in enumerate(self.rows):  # alone each chooses what it chooses among others
            try:
                alone = Chooser([row], self._end_of_text_id)
                chosen[place] = alone.choose(logits[place : place + 1])[0]
            except Exception as error:
                failed[place] = error
        return chosen, failed

    def _reason(self, row: Row, index: int) -> FinishReason | None:
        """Why a row ends with the token that it has just got."""
        ends = self._ends_text is not None and self._ends_text(row.number, index)
        if ends or index == self._end_of_text_id:
            return "stop"
        return "length" if row.num_written == row.limit else None
