"""The loop in the graph against the numpy engines' own loop, on a model small enough to see through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.generation.decode import decode
from kerasgpt.generation.probabilities import log_softmax
from kerasgpt.generation.texts import pad_right
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.in_graph import decode as in_graph
from kerasgpt.in_graph.decode import GraphModel, one_step
from kerasgpt.in_graph.prompts import FittedPrompts
from kerasgpt.in_graph.requests import greedy_request

VOCABULARY = 11
END_OF_TEXT = VOCABULARY - 1
TABLE = np.random.default_rng(3).normal(size=(40, VOCABULARY, VOCABULARY)).astype(np.float32)
TABLE[..., END_OF_TEXT] += 0.3


class TableModel:
    """The next logits depend on the last token and its position; a StepModel, and two graph functions."""

    vocabulary_size = VOCABULARY

    def __init__(self, context: int) -> None:
        self.max_sequence_length = context

    def prefill(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[Any, np.ndarray]:
        last = ids[np.arange(len(ids)), lengths - 1]
        return lengths, TABLE[lengths - 1, last]

    def step(self, state: np.ndarray, ids: np.ndarray) -> tuple[Any, np.ndarray]:
        return state + 1, TABLE[state, ids]

    def reorder(self, state: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return state[indices]

    def all_logits(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return TABLE[np.arange(ids.shape[1]), ids]


def graph_prefill(ids: Any, lengths: Any, num_new: Any) -> tuple[Any, Any]:
    last = tf.gather(ids, lengths - 1, batch_dims=1)
    return lengths, tf.gather_nd(TABLE, tf.stack([lengths - 1, last], 1))


def graph_step(state: Any, ids: Any, positions: Any) -> tuple[Any, Any]:
    # The state counts what each row has read: rows that are taken apart keep their own.
    return state + 1, tf.gather_nd(TABLE, tf.stack([tf.cast(positions, tf.int64), ids], 1))


def decode_greedily(
    prefill: Any, step: Any, ids: Any, lengths: Any, *, end_of_text_id: int, max_new_tokens: int, context: int
) -> Any:
    prompts = FittedPrompts(ids, lengths, tf.zeros_like(lengths))
    request = greedy_request(tf.shape(lengths)[0], max_new_tokens)
    limits = {"end_of_text_id": end_of_text_id, "context": context}
    model = GraphModel(prefill, one_step(step), tf.gather)
    return in_graph.decode(model, prompts, request, tf.strings.as_string, **limits)


def random_prompts(context: int) -> list[list[int]]:
    generator = np.random.default_rng(context)
    lengths = [1, 2, 5, context - 1, *generator.integers(1, context, 20).tolist()]
    return [generator.integers(0, VOCABULARY - 1, max(length, 1)).tolist() for length in lengths]


@pytest.mark.parametrize(("context", "max_new_tokens"), [(12, 1), (12, 4), (40, 30), (3, 9)])
def test_the_graph_writes_what_the_numpy_loop_writes(context: int, max_new_tokens: int) -> None:
    prompts = random_prompts(context)
    settings = GenerationConfig(max_new_tokens=max_new_tokens)
    ids: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    reasons: list[Any] = [None] * len(prompts)
    for tokens in decode(TableModel(context), prompts, settings, END_OF_TEXT):
        for token in tokens:
            ids[token.row].append(token.id)
            logprobs[token.row].append(token.logprob)
            reasons[token.row] = token.finish_reason

    padded, lengths = pad_right(prompts)
    written = decode_greedily(
        graph_prefill,
        graph_step,
        tf.constant(padded),
        tf.constant(lengths),
        end_of_text_id=END_OF_TEXT,
        max_new_tokens=max_new_tokens,
        context=context,
    )
    counts = written.num_tokens.numpy()
    rows = zip(written.token_ids.numpy(), written.logprobs.numpy(), counts, strict=True)
    for row, (row_ids, row_logprobs, count) in enumerate(rows):
        assert row_ids[:count].tolist() == ids[row]
        np.testing.assert_allclose(row_logprobs[:count], logprobs[row], atol=1e-6)
        assert np.all(row_ids[count:] == END_OF_TEXT)
    assert written.ended.numpy().tolist() == [reason == "stop" for reason in reasons]
    assert not written.running.numpy().any()


def test_the_lowest_id_wins_a_tie() -> None:
    logits = tf.constant([[1.0, 5.0, 5.0, 0.0]])
    written = decode_greedily(
        lambda ids, lengths, num_new: (lengths, logits),
        lambda state, ids, positions: (state, logits),
        tf.constant([[0]], tf.int64),
        tf.constant([1], tf.int64),
        end_of_text_id=3,
        max_new_tokens=2,
        context=9,
    )
    assert written.token_ids.numpy().tolist() == [[1, 1]]
    np.testing.assert_allclose(written.logprobs[0, 0], log_softmax(logits.numpy())[0, 1], atol=1e-6)


def test_the_loop_ends_with_its_last_row() -> None:
    steps = tf.Variable(0)

    def counted_step(state: Any, ids: Any, positions: Any) -> tuple[Any, Any]:
        steps.assign_add(1)
        return state, tf.one_hot(ids + 1, 4)

    decode_greedily(
        lambda ids, lengths, num_new: (lengths, tf.one_hot(lengths * 0, 4)),
        counted_step,
        tf.constant([[0], [0]], tf.int64),
        tf.constant([1, 1], tf.int64),
        end_of_text_id=3,
        max_new_tokens=50,
        context=100,
    )
    assert steps.numpy() == 3  # 0 from the prompt, then 1, 2 and the end of text
