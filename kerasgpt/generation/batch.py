"""Rows that are written together, and come and go between steps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from kerasgpt.generation.rows import EndsText, Fails, Row, Token, Writer
from kerasgpt.protocols import Ids, Logits, StepModel


class Batch:
    """Rows that have begun and not ended. A row that has ended is dropped, and costs nothing more.

    Args:
        model: any engine.
        end_of_text_id: the token that ends a row.
        ends_text: asked after each token about stop strings.
        fails: told of rows that cannot go on, and are dropped; None means that the error is raised.
    """

    def __init__(
        self,
        model: StepModel,
        end_of_text_id: int,
        ends_text: EndsText | None = None,
        fails: Fails | None = None,
    ) -> None:
        self._model = model
        self._ends = end_of_text_id, ends_text, fails
        self._state: Any = None
        self._writer = Writer([], *self._ends)

    def __len__(self) -> int:
        return len(self._writer.rows)

    def add(self, rows: Sequence[Row], state: Any, logits: Logits) -> list[Token]:
        """Take rows in and write their first tokens.

        Args:
            rows: at least one, none of whose limits is 0.
            state: of their prompts, as the model read them; it is used up.
            logits: float32 (R, V) that follow the prompts.

        Returns:
            A token of each that has not failed.
        """
        tokens, going = Writer(rows, *self._ends).write(logits)
        if going:
            if len(going) < len(rows):
                state = self._model.reorder(state, np.array(going, np.int64))
            self._state = self._model.join([self._state, state]) if len(self) else state
            self._hold([*self._writer.rows, *(rows[place] for place in going)])
        return tokens

    def step(self) -> list[Token]:
        """Read the newest token of each row, of which there must be any, and write the next."""
        newest = np.array([row.newest for row in self._writer.rows], np.int64)
        self._state, logits = self._model.step(self._state, newest)
        tokens, going = self._writer.write(logits)
        self._keep(going)
        return tokens

    def remove(self, numbers: Collection[int]) -> None:
        """Drop rows that nobody wants to go on."""
        self._keep([place for place, row in enumerate(self._writer.rows) if row.number not in numbers])

    def _keep(self, places: Sequence[int]) -> None:
        """Drop the rows that are not in these places, given in rising order."""
        if len(places) == len(self):
            return
        order = filled_holes(places)
        self._state = self._model.reorder(self._state, order) if places else None
        self._hold([self._writer.rows[place] for place in order.tolist()])

    def _hold(self, rows: Sequence[Row]) -> None:
        self._writer = Writer(rows, *self._ends)


def filled_holes(places: Sequence[int]) -> Ids:
    """An order of places that moves the last ones into the holes, so that the others stay where they are.

    >>> filled_holes([0, 2, 3, 6, 7]).tolist()
    [0, 7, 2, 3, 6]
    """
    order = np.arange(len(places))
    holes = sorted({*range(len(places))}.difference(places))
    order[holes] = [place for place in reversed(places) if place >= len(places)]
    return order
