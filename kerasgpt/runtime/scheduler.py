"""Turn by turn: some tokens of new prompts are read, then each running row grows by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from kerasgpt.generation.batch import Batch
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.rows import Row, Token
from kerasgpt.protocols import Logits
from kerasgpt.runtime.submission import Submission


class Scheduler:
    """The running batch and those who get its tokens; for one thread.

    Args:
        model: which writes.
        prefill_tokens: of prompts, read in a turn.
    """

    def __init__(self, model: StepLanguageModel, prefill_tokens: int) -> None:
        self._model = model
        self._prefill_tokens = prefill_tokens
        self._admitted: deque[Row] = deque()  # whose prompts are not being read yet
        self._reading: tuple[list[Row], Iterator[tuple[Any, Logits] | None]] | None = None
        self._submissions: dict[int, Submission] = {}  # of all rows, admitted ones included
        self._next_number = 0
        self._batch = self._new_batch()

    @property
    def num_rows(self) -> int:
        """Rows that are written, read, or about to be."""
        return len(self._submissions)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._submissions

    def admit(self, submissions: Sequence[Submission]) -> None:
        """Give each a row that is still wanted."""
        for submission in submissions:
            if not submission.begin():
                continue
            request, number = submission.request, self._next_number
            self._next_number += 1
            self._submissions[number] = submission
            context = self._model.max_sequence_length
            try:
                row = Row(number, request.prompt, request.settings, request.seed, context)
            except Exception as error:
                self._end(number, error)
                continue
            if row.limit:
                self._admitted.append(row)
            else:
                self._end(number)

    def turn(self) -> None:
        """Read some of what is to be read, then let every row grow by a token.

        What goes wrong with one row, its prompt, its settings or its text, ends that row alone. Where the
        engine fails at what all rows have in common, all end.
        """
        try:
            self._drop_cancelled()
            self._read()
            if len(self._batch):
                self._give(self._batch.step())
        except Exception as error:  # raised again where the texts are waited for
            self.fail(error)
        if not self._submissions:
            self._batch = self._new_batch()  # and with it the memory of the old one

    def fail(self, error: Exception) -> None:
        """End all rows: whatever was under way cannot go on."""
        self._admitted.clear()
        self._reading = None
        self._batch = self._new_batch()
        for number in [*self._submissions]:
            self._end(number, error)

    def _read(self) -> None:
        if self._reading is None and self._admitted:
            rows = self._next_to_read()
            self._reading = rows, self._pieces(rows)
        if self._reading is not None:
            self._go_on_reading(*self._reading)

    def _go_on_reading(self, rows: list[Row], pieces: Iterator[tuple[Any, Logits] | None]) -> None:
        """Read the next piece; prompts that cannot be read together are read one by one, each at once."""
        try:
            answer = next(pieces)
        except Exception as error:
            self._reading = None
            if len(rows) == 1:
                self._end(rows[0].number, error)
                return
            for row in rows:
                self._go_on_reading([row], self._pieces([row]))
            return
        if answer is not None:
            self._reading = None
            self._give(self._batch.add(rows, *answer))

    def _next_to_read(self) -> list[Row]:
        """The rows whose turn it is: as many as are read in one go, and one in any case."""
        rows = [self._admitted.popleft()]
        longest = len(rows[0].prompt)
        while self._admitted:
            longest = max(longest, len(self._admitted[0].prompt))
            if longest * (len(rows) + 1) > self._prefill_tokens:
                break
            rows.append(self._admitted.popleft())
        return rows

    def _pieces(self, rows: Sequence[Row]) -> Iterator[tuple[Any, Logits] | None]:
        prefill = self._model.prefill
        if len(rows) == 1:
            yield from prefill.pieces(rows[0].prompt, self._prefill_tokens)
        else:
            yield prefill.read([row.prompt for row in rows])

    def _give(self, tokens: Sequence[Token]) -> None:
        failed = set()
        for token in tokens:
            try:
                self._submissions[token.row].take(token)
            except Exception as error:
                self._end(token.row, error)
                failed.add(token.row)
                continue
            if token.finish_reason is not None:
                self._end(token.row)
        if failed:
            self._batch.remove(failed)

    def _end(self, number: int, error: Exception | None = None) -> None:
        self._submissions.pop(number).end(error)

    def _drop_cancelled(self) -> None:
        numbers = {number for number, each in self._submissions.items() if each.is_cancelled}
        if not numbers:
            return
        self._batch.remove(numbers)
        self._admitted = deque(row for row in self._admitted if row.number not in numbers)
        if self._reading and len(self._reading[0]) == 1 and self._reading[0][0].number in numbers:
            self._reading = None
        for number in numbers:
            self._end(number)

    def _new_batch(self) -> Batch:
        def ends_text(number: int, index: int) -> bool:
            return self._submissions[number].ends_with(index)

        return Batch(self._model.model, self._model.tokenizer.end_of_text_id, ends_text, self._end)
