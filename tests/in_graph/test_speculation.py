"""Drafts in the graph change how many steps a text takes, never the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.config import GPT2Config
from kerasgpt.generation.speculation import PromptLookup
from kerasgpt.in_graph.decode import GraphModel
from kerasgpt.in_graph.generation import Words, generate, step_by_step
from kerasgpt.in_graph.prompts import fit_prompts
from kerasgpt.in_graph.requests import greedy_request
from kerasgpt.in_graph.resumption import Paused, pause, resume
from kerasgpt.in_graph.speculation import (
    FIRST_CREDIT,
    LENGTHS,
    PROBES,
    Pace,
    drafted_steps,
    propose,
    with_drafts,
)
from kerasgpt.in_graph.transformer import GraphTransformer

CONTEXT, NUM_IDS = 120, 257
Rule = Callable[[Any, Any], Any]


class RuleTransformer:
    """Its next token is a function of the newest one and of its place; counts the tokens of its steps."""

    def __init__(self, rule: Rule, followers: Any = None) -> None:
        self.followers = None if followers is None else tf.Variable(followers, dtype=tf.int32)
        self.config = GPT2Config(
            NUM_IDS, max_sequence_length=CONTEXT, num_layers=1, num_heads=1, hidden_dim=2
        )
        self._rule = rule
        self.widths: list[int] = []

    def read_prompts(self, ids: Any) -> tuple[Any, list[Any], list[Any]]:
        positions = tf.broadcast_to(tf.range(tf.shape(ids)[1]), tf.shape(ids))
        nothing = tf.zeros(tf.stack([*tf.unstack(tf.shape(ids)[:1]), 1, tf.shape(ids)[1], 2]))
        return self._stream(ids, positions), [nothing], [nothing]

    def read_next(self, ids: Any, positions: Any, cache: Any) -> tuple[Any, Any]:
        tf.debugging.assert_less(positions, cache.columns)
        self.widths.append(ids.shape[1])
        return tf.reshape(self._stream(ids, positions), [-1, 2]), cache

    def final_norm(self, stream: Any) -> Any:
        return stream

    def head(self, hidden: Any) -> Any:
        ids, positions = tf.unstack(tf.cast(hidden, tf.int32), axis=-1)
        noise = tf.random.stateless_uniform([NUM_IDS], [3, 4])
        return tf.one_hot(self._rule(ids, positions), NUM_IDS, 9.0) + noise

    def _stream(self, ids: Any, positions: Any) -> Any:
        return tf.stack([tf.cast(ids, tf.float32), tf.cast(positions, tf.float32)], axis=-1)


def counting(ids: Any, positions: Any) -> Any:
    """48, 49, ..., 57, 48, ... with a slip now and then."""
    return 48 + (ids + 2 + tf.cast(positions % 17 == 0, tf.int32)) % 10


def never_repeats(ids: Any, positions: Any) -> Any:
    """Each pair of tokens once."""
    return (positions * 3 + 1) % 256


def rambles(ids: Any, positions: Any) -> Any:
    """Each token once, by the one before: all the pairs that follow each other differ."""
    return (ids * 5 + 1) % 256


def deceives(ids: Any, positions: Any) -> Any:
    """1, 2 again and again, and each time something else after it."""
    return tf.where(positions % 3 == 0, 1, tf.where(positions % 3 == 1, 2, 100 + positions))


def written(
    model: GraphModel, transformer: Any, words: Words, prompts: list[str], wanted: list[int], **changes: Any
) -> dict[str, Any]:
    """What `generate` gives, run op by op so that steps can be counted."""
    request = greedy_request(len(prompts), 0)
    request = request._replace(
        max_new_tokens=tf.constant(wanted, tf.int64),
        stop=tf.fill([len(prompts)], changes.pop("stop", "")),
        knobs=request.knobs._replace(**{name: tf.fill([len(prompts)], v) for name, v in changes.items()}),
    )
    ids = words.tokenizer.encode([prompt.encode() for prompt in prompts])
    outputs = generate(model, transformer, words, ids, request, tf.fill([len(prompts)], ""))
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(found) == set(expected)
    for name, values in expected.items():
        if values.dtype == np.float32:
            np.testing.assert_allclose(found[name], values, atol=2e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize(
    ("rule", "prompts", "wanted", "changes"),
    [
        (counting, ["012345678901234"], [1], {}),
        (counting, ["012345678901234"], [2], {}),
        (counting, ["0"], [10**9], {}),  # to the end of the context
        (counting, ["0"], [100], {"stop": "89012"}),
        (counting, ["0", "5", "01234"], [60, 3, 10], {}),
        (counting, ["0"], [40], {"temperature": 1.3}),
        (counting, ["0"], [40], {"repetition_penalty": 1.7}),
        (deceives, ["0"], [60], {}),
        (deceives, ["0", "12"], [20, 40], {}),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_text_is_the_one_of_single_steps(
    rule: Rule, prompts: list[str], wanted: list[int], changes: dict[str, Any], words: Words
) -> None:
    plain, quick = RuleTransformer(rule), RuleTransformer(rule)
    expected = written(step_by_step(plain), plain, words, prompts, wanted, **changes)
    same(written(with_drafts(quick), quick, words, prompts, wanted, **changes), expected)
    assert set(plain.widths) <= {1}
    drafts = {width - 1 for width in quick.widths}
    assert drafts <= set(LENGTHS) | set(range(LENGTHS[-1]))


def test_repetitions_take_few_steps_and_others_hardly_any_more_work(words: Words) -> None:
    transformer = RuleTransformer(counting)
    outputs = written(with_drafts(transformer), transformer, words, ["0"], [100])
    assert outputs["num_tokens"] == [100]
    assert len(transformer.widths) < 45
    assert max(transformer.widths) == 1 + LENGTHS[-1]
    transformer = RuleTransformer(never_repeats)
    written(with_drafts(transformer), transformer, words, ["0"], [100])
    assert transformer.widths == [1] * 99
    transformer = RuleTransformer(deceives)
    written(with_drafts(transformer), transformer, words, ["0"], [100])
    assert 99 < sum(transformer.widths) <= 99 + 8 * LENGTHS[0]


KNOWN = rambles(np.arange(NUM_IDS), 0)
"""What follows each token of `rambles`."""


@pytest.mark.parametrize(
    ("followers", "num_steps", "num_read"),
    [
        (KNOWN, 33, 99),
        (np.where(np.arange(NUM_IDS) % 2, KNOWN, -1), 50, 99),  # every second one
        (np.full(NUM_IDS, -1), 99, 99),
        (KNOWN + 1, 99, 99 + 2 * (FIRST_CREDIT + 99 // PROBES)),  # always wrong
        (np.where(np.arange(NUM_IDS) % 16, KNOWN + 1, KNOWN), None, None),  # now and then right
    ],
    ids=["all", "half", "none", "wrong", "few"],
)
def test_what_the_model_says_after_a_token_alone_is_a_guess(
    followers: Any, num_steps: int | None, num_read: int | None, words: Words
) -> None:
    plain, quick = RuleTransformer(rambles), RuleTransformer(rambles, followers % NUM_IDS)
    if followers.min() < 0:
        quick = RuleTransformer(rambles, followers)
    expected = written(step_by_step(plain), plain, words, ["0"], [100])
    same(written(with_drafts(quick), quick, words, ["0"], [100]), expected)
    assert set(quick.widths) <= {1, 2, 3}
    if num_steps:
        assert len(quick.widths) == num_steps
        assert sum(quick.widths) == num_read
    else:
        assert 33 < len(quick.widths) < 99
        assert sum(quick.widths) < 3 * len(quick.widths)


def test_a_guess_leaves_room_in_the_context(words: Words) -> None:
    plain, quick = RuleTransformer(rambles), RuleTransformer(rambles, KNOWN)
    expected = written(step_by_step(plain), plain, words, ["0"], [10**9])
    same(written(with_drafts(quick), quick, words, ["0"], [10**9]), expected)
    assert len(quick.widths) < len(plain.widths) / 2


@pytest.mark.parametrize(
    "changes", [{"temperature": 1.0}, {"repetition_penalty": 1.01}], ids=lambda changes: next(iter(changes))
)
def test_only_greedy_rows_are_drafted(changes: dict[str, float], words: Words) -> None:
    transformer = RuleTransformer(counting)
    written(with_drafts(transformer), transformer, words, ["0"], [50], **changes)
    assert set(transformer.widths) == {1}


def test_a_row_is_drafted_when_it_is_the_last(words: Words) -> None:
    transformer = RuleTransformer(counting)
    written(with_drafts(transformer), transformer, words, ["0", "3"], [20, 100])
    assert transformer.widths[:18] == [1] * 18
    assert len(transformer.widths) < 60


def test_a_stream_is_drafted_in_each_call(words: Words) -> None:
    transformer: Any = RuleTransformer(counting)
    ids = words.tokenizer.encode([b"01234567890123"])
    prompts = fit_prompts(ids, tf.constant([60], tf.int64), end_of_text_id=0, context=CONTEXT)
    request = greedy_request(1, 60)
    expected = written(step_by_step(transformer), transformer, words, ["01234567890123"], [60])
    transformer.widths.clear()
    answer = pause(transformer, prompts)._asdict()
    calls = 0
    while not (calls and answer["finish_reason"][0].numpy()):
        state = Paused(*(answer[name] for name in Paused._fields))
        error, steps = tf.constant([""]), tf.constant([12], tf.int64)
        answer = resume(transformer, words, state, request, error, steps, drafted_steps(transformer))
        calls += 1
    assert calls == 5
    assert answer["token_ids"][0, -60:].numpy().tolist() == expected["token_ids"][0].tolist()
    assert len(transformer.widths) < 35


@pytest.mark.parametrize("wanted", [[30], [38, 38, 38], [7, 30, 1]], ids=str)
def test_a_real_model_writes_the_same(transformer: GraphTransformer, words: Words, wanted: list[int]) -> None:
    """Its cache holds drafts that were wrong, until they are written over."""
    for prompt in ("the the the", "zzzzz", "you'll you'll", "hello", ""):
        prompts = [prompt, "a", "th"][: len(wanted)]
        expected = written(step_by_step(transformer), transformer, words, prompts, wanted)
        same(written(with_drafts(transformer), transformer, words, prompts, wanted), expected)


def test_places_are_those_of_the_other_engines() -> None:
    generator = np.random.default_rng(0)
    found = 0
    for length in (1, 2, 3, 5, 9, 17, 40):
        for _ in range(20):
            ids = generator.integers(0, 4, length).tolist()
            expected = PromptLookup(ids).propose(7)
            assert propose(tf.constant(ids, tf.int64), tf.constant(7)).numpy().tolist() == expected
            found += bool(expected)
    assert 40 < found < 140


def test_drafts_grow_with_success_and_pause_after_failure() -> None:
    pace = Pace.start()
    for _ in range(3):
        pace = pace.after_draft(5, 5)
    assert int(pace.level) == len(LENGTHS) - 1
    assert int(pace.wait) == 0
    waits = (1, 3, 7, 15, 31, 63, 64, 64)
    for wait, level in zip(waits, (1, 0, 0, 0, 0, 0, 0, 0), strict=True):
        pace = pace.after_draft(5, 0)
        assert (int(pace.wait), int(pace.level)) == (wait, level)
    assert int(pace.after_none().wait) == 63
    assert int(pace.after_draft(5, 1).wait) == 0
    assert int(Pace.start().after_none().wait) == 0
