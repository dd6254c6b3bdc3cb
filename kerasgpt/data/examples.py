"""Examples: prompts with their answers as ids, and the rows that hold one or several of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.shards import PartSize
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.templates import DoesNotFitError, TaskTemplate
from kerasgpt.tokenizer.bpe import Tokenizer

_RECORDS_AT_ONCE = 1024


class Example(NamedTuple):
    """A prompt and its answer as ids.

    Attributes:
        ids: (num_tokens,): prompt, answer, end of text.
        num_prompt_tokens: how many of them are the prompt.
    """

    ids: NDArray[np.int32]
    num_prompt_tokens: int


@dataclass(frozen=True)
class Examples:
    """Many examples, one after the other in one array.

    Attributes:
        ids: unsigned (num_ids,).
        starts: int64 (num_examples + 1,): where each begins, and where the last one ends.
        prompt_sizes: int64 (num_examples,), tokens of each prompt.
        num_answer_bytes: of all answers, in UTF-8.
        num_shortened: whose prompt was shortened.
        num_left_out: records that do not fit, even with nothing of their long field; they are not here.
    """

    ids: NDArray[np.uint32]
    starts: NDArray[np.int64]
    prompt_sizes: NDArray[np.int64]
    num_answer_bytes: int = 0
    num_shortened: int = 0
    num_left_out: int = 0

    def __len__(self) -> int:
        return len(self.prompt_sizes)

    def __getitem__(self, number: int) -> Example:
        ids = self.ids[self.starts[number] : self.starts[number + 1]]
        return Example(ids.astype(np.int32), int(self.prompt_sizes[number]))

    @property
    def input_lengths(self) -> NDArray[np.int64]:
        """Tokens that a model reads of each, int64 (num_examples,): all but the last, which is a label."""
        return np.diff(self.starts) - 1

    @property
    def num_labels(self) -> int:
        """Tokens that are learned: the answers' and the end after each."""
        return int(len(self.ids) - self.prompt_sizes.sum())

    @property
    def digest(self) -> str:
        """SHA-256 of all ids, and of where examples and their answers begin."""
        whole = hashlib.sha256()
        for array in (self.ids, self.starts, self.prompt_sizes):
            whole.update(array.data)
        return whole.hexdigest()

    @property
    def size(self) -> PartSize:
        """How much they hold; the bytes are the answers'."""
        return PartSize(self.num_answer_bytes, len(self.ids), len(self))


def encode_records(
    records: Iterable[TaskRecord], template: TaskTemplate, tokenizer: Tokenizer, sequence_length: int
) -> Examples:
    """Turn records into examples that fit into a window, as many tokens of the prompt as then are read.

    A prompt has at most as many tokens as leave room for `template.max_new_tokens`, so that training
    shortens it as an evaluation does; for a longer answer it has fewer. Of a prompt only the long field is
    shortened; what does not fit without it is left out and counted.

    Args:
        records: of a task.
        template: of the same task.
        tokenizer: of the model.
        sequence_length: T, tokens of a window.

    Raises:
        UsageError: the window is no longer than an answer may be.
        KerasGPTError: a prompt is empty.
    """
    most_tokens = sequence_length - template.max_new_tokens
    if most_tokens < 1:
        raise UsageError(
            f"a window of {sequence_length} tokens leaves no prompt beside an answer of"
            f" {template.max_new_tokens}: lengthen the windows (train.sequence_length) or shorten the answers"
            " (task.max_new_tokens)"
        )
    parts: list[list[int]] = []
    prompt_sizes: list[int] = []
    num_bytes = num_shortened = num_left_out = 0
    for group in _groups(records):
        prompts = tokenizer.encode_batch([template.text(record.fields) for record in group])
        answers = tokenizer.encode_batch([template.answer_text(record.answers[0]) for record in group])
        for record, whole, answer in zip(group, prompts, answers, strict=True):
            room = min(most_tokens, sequence_length - len(answer))
            prompt = list(whole)
            if len(prompt) > room:
                try:
                    text, was_shortened = template.fitting(record.fields, tokenizer, room, record.place)
                except DoesNotFitError:
                    num_left_out += 1
                    continue
                prompt = tokenizer.encode(text)
                if not prompt:  # the answer alone fills the window
                    num_left_out += 1
                    continue
                num_shortened += was_shortened
            if not prompt:
                raise KerasGPTError(f"{record.place}: its prompt is empty; give a text or another template")
            parts.append([*prompt, *answer, tokenizer.end_of_text_id])
            prompt_sizes.append(len(prompt))
            num_bytes += len(template.answer_text(record.answers[0]).encode())
    starts = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    ids = np.fromiter((token for part in parts for token in part), np.uint32, count=int(starts[-1]))
    return Examples(ids, starts, np.array(prompt_sizes, np.int64), num_bytes, num_shortened, num_left_out)


def _groups(records: Iterable[TaskRecord]) -> Iterable[list[TaskRecord]]:
    group: list[TaskRecord] = []
    for record in records:
        group.append(record)
        if len(group) == _RECORDS_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def fill_rows(lengths: Sequence[int] | NDArray[np.int64], capacity: int) -> list[list[int]]:
    """Lay examples side by side into rows: the longest first, each into the fullest row that has room.

    That is best-fit decreasing, which takes at most 11/9 of the fewest possible rows (Johnson 1974).

    Args:
        lengths: of the examples, none above `capacity`.
        capacity: T, tokens of a row.

    Returns:
        The numbers of each row's examples.

    >>> fill_rows([3, 5, 2, 4], capacity=7)
    [[1, 2], [3, 0]]
    """
    rows: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]  # room left -> rows that have it
    some = 0  # bit r says whether any row has room for r
    for number in sorted(range(len(lengths)), key=lambda each: (-int(lengths[each]), each)):
        length = int(lengths[number])
        enough = some >> length
        if enough:
            room = length + (enough & -enough).bit_length() - 1  # the least that will do
            row = with_room[room].pop()
            if not with_room[room]:
                some ^= 1 << room
            rows[row].append(number)
        else:
            room, row = capacity, len(rows)
            rows.append([number])
        with_room[room - length].append(row)
        some |= 1 << (room - length)
    return rows
