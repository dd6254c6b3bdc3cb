"""Examples: which ids there are, where the answer begins, and how rows are filled."""

import itertools
import random

import numpy as np
import pytest

from kerasgpt.data.examples import encode_records, fill_rows
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.templates import DEFAULTS, TaskTemplate
from kerasgpt.tokenizer.bpe import Tokenizer

BYTES = Tokenizer.learn(["a"], 257)  # an id a byte, and the end of text
SHORT = TaskTemplate("completion", "{prompt}", "prompt", "{answer}", max_new_tokens=4)


def _record(prompt, *answers):
    return TaskRecord({"prompt": prompt}, answers, f"line of {prompt}", prompt)


def test_an_example_is_prompt_answer_and_end():
    examples = encode_records([_record("ab", "c", "other"), _record("d", "é")], SHORT, BYTES, 16)
    assert [
        BYTES.decode(ids.tolist(), skip_special_tokens=False) for ids, _ in map(examples.__getitem__, (0, 1))
    ] == [
        "abc<|endoftext|>",
        "dé<|endoftext|>",
    ]
    assert [examples[number].num_prompt_tokens for number in (0, 1)] == [2, 1]
    assert examples.input_lengths.tolist() == [3, 3]
    assert examples.num_labels == 2 + 3
    assert (examples.size.num_bytes, examples.size.num_documents) == (3, 2)


def test_only_the_long_field_is_shortened_and_what_does_not_fit_is_counted():
    template = DEFAULTS["question_answering"]
    question = "Who slept in the house?"
    records = [
        TaskRecord({"context": "The cat slept. " * times, "question": question}, ("the cat",), "", "")
        for times in (1, 30)
    ] + [TaskRecord({"context": "The cat.", "question": question * 10}, ("the cat",), "", "")]
    examples = encode_records(records, template, BYTES, 128)
    assert (len(examples), examples.num_shortened, examples.num_left_out) == (2, 1, 1)
    ids, num_prompt_tokens = examples[1]
    assert num_prompt_tokens <= 128 - template.max_new_tokens
    assert BYTES.decode(ids[:num_prompt_tokens].tolist()).endswith(f"\nQuestion: {question}\nAnswer:")


def test_a_long_answer_takes_room_from_the_prompt_and_no_example_is_longer_than_a_window():
    examples = encode_records([_record("one two three four five", "six" * 4)], SHORT, BYTES, 20)
    ids, num_prompt_tokens = examples[0]
    assert examples.input_lengths.tolist() == [19]
    assert BYTES.decode(ids[:num_prompt_tokens].tolist()) == "one two"


def test_an_answer_that_fills_the_window_alone_is_left_out_and_counted():
    records = [_record("one two", "x" * size) for size in (18, 19, 20, 21)]
    examples = encode_records(records, SHORT, BYTES, 20)
    assert (len(examples), examples.num_left_out, examples.num_shortened) == (2, 2, 2)


def test_bad_settings_and_empty_prompts_are_told():
    with pytest.raises(UsageError, match="a window of 4 tokens leaves no prompt beside an answer of 4"):
        encode_records([], SHORT, BYTES, 4)
    with pytest.raises(KerasGPTError, match="line of : its prompt is empty"):
        encode_records([_record("", "a")], SHORT, BYTES, 16)


@pytest.mark.parametrize("capacity", [8, 30])
def test_rows_hold_each_example_once_and_are_never_too_full(capacity):
    generator = random.Random(capacity)
    lengths = [generator.randint(1, capacity) for _ in range(300)]
    rows = fill_rows(lengths, capacity)
    assert sorted(itertools.chain(*rows)) == list(range(300))
    assert max(sum(lengths[number] for number in row) for row in rows) <= capacity
    assert len(rows) <= 11 / 9 * (sum(lengths) / capacity) + 1
    assert fill_rows(np.array(lengths), capacity) == rows


def test_a_row_is_filled_as_one_that_looks_at_all_rows_fills_it():
    generator = random.Random(3)
    lengths = [generator.randint(1, 12) for _ in range(80)]
    rows, rooms = [], []
    for number in sorted(range(80), key=lambda each: -lengths[each]):
        enough = [room for room in rooms if room >= lengths[number]]
        if enough:
            row = rooms.index(min(enough))
        else:
            row = len(rooms)
            rooms.append(12)
            rows.append([])
        rooms[row] -= lengths[number]
        rows[row].append(number)
    assert sorted(map(len, fill_rows(lengths, 12))) == sorted(map(len, rows))
