"""The decode loop inside the graph: greedy, one token a step for all rows, until each has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

Prefill = Callable[[Any, Any], tuple[Any, Any]]
"""Right-padded ids int64 (B, T) and lengths int64 (B,) -> the state and the next logits float32 (B, V)."""

Step = Callable[[Any, Any, Any], tuple[Any, Any]]
"""State, ids int64 (B,), their positions int64 (B,) -> the new state and the next logits (B, V)."""


class FittedPrompts(NamedTuple):
    """Prompts as the model reads them.

    Attributes:
        token_ids: int64 (B, T), padded on the right, T being at least 1.
        lengths: int64 (B,), at least 1.
        num_dropped: int64 (B,), tokens left out at the beginning.
    """

    token_ids: Any
    lengths: Any
    num_dropped: Any


class Continuations(NamedTuple):
    """What has been written so far, M being the most new tokens.

    Attributes:
        newest: int64 (B,), each row's latest choice.
        token_ids: int64 (B, M), end of text where nothing was written.
        logprobs: float32 (B, M), natural logarithms, 0 where nothing was written.
        num_tokens: int64 (B,), tokens written, the end of text included.
        ended: bool (B,), whether end of text was written.
        running: bool (B,), whether the row goes on.
    """

    newest: Any
    token_ids: Any
    logprobs: Any
    num_tokens: Any
    ended: Any
    running: Any


def fit_prompts(prompts: Any, *, end_of_text_id: int, max_new_tokens: int, context: int) -> FittedPrompts:
    """Lay prompts side by side, so that the model can read them and has room to write.

    An empty one becomes end of text; one that fills the context keeps its end, as `fit_prompt` in
    `kerasgpt.generation.stopping` says.

    Args:
        prompts: ragged int64 (B, None).
        end_of_text_id: which also fills the padding.
        max_new_tokens: wanted after each.
        context: the most tokens that prompt and continuation may have together.
    """
    given = prompts.row_lengths()
    room = max(context - max_new_tokens, context // 2, 1)
    kept = tf.where(given < context, given, room)
    columns = tf.range(tf.maximum(tf.reduce_max(kept), 1))
    first = prompts.row_limits() - kept
    # The end of text put behind all tokens is what padding and empty prompts point to.
    tokens = tf.concat([prompts.flat_values, [end_of_text_id]], 0)
    places = tf.where(columns < kept[:, None], first[:, None] + columns, tf.size(tokens, tf.int64) - 1)
    return FittedPrompts(tf.gather(tokens, places), tf.maximum(kept, 1), given - kept)


def decode_greedily(
    prefill: Prefill,
    step: Step,
    token_ids: Any,
    lengths: Any,
    *,
    end_of_text_id: int,
    max_new_tokens: int,
    context: int,
) -> Continuations:
    """Write after each prompt the most probable token, again and again; the lowest id wins a tie.

    A row ends after end of text, after `max_new_tokens`, or where the context is full; the loop ends
    with its last row.

    Args:
        prefill: reads the prompts.
        step: reads one token more of each row.
        token_ids: int64 (B, T), padded on the right.
        lengths: int64 (B,), at least 1.
        end_of_text_id: ends a row, and is its last token.
        max_new_tokens: M, at least 1.
        context: positions the model has.
    """
    limits = tf.clip_by_value(context - lengths, 1, max_new_tokens)
    state, logits = prefill(token_ids, lengths)

    def advance(written: Continuations, state: Any) -> tuple[Continuations, Any]:
        # Rows that have ended go on being read, unheeded; their positions must only exist.
        positions = tf.minimum(lengths + written.num_tokens, context) - 1
        state, logits = step(state, written.newest, positions)
        return _write(written, logits, limits, end_of_text_id), state

    start = _nothing(tf.shape(lengths)[0], max_new_tokens, end_of_text_id)
    written, _ = tf.while_loop(
        lambda written, state: tf.reduce_any(written.running),
        advance,
        (_write(start, logits, limits, end_of_text_id), state),
        parallel_iterations=1,
    )
    return written


def _nothing(batch: Any, max_new_tokens: int, end_of_text_id: int) -> Continuations:
    return Continuations(
        newest=tf.zeros([batch], tf.int64),
        token_ids=tf.fill([batch, max_new_tokens], tf.constant(end_of_text_id, tf.int64)),
        logprobs=tf.zeros([batch, max_new_tokens]),
        num_tokens=tf.zeros([batch], tf.int64),
        ended=tf.zeros([batch], tf.bool),
        running=tf.ones([batch], tf.bool),
    )


def _write(written: Continuations, logits: Any, limits: Any, end_of_text_id: int) -> Continuations:
    """Append each running row's best token; logits float32 (B, V), limits int64 (B,)."""
    newest = tf.argmax(logits, axis=-1)  # (B,)
    logprobs = tf.reduce_max(logits, axis=-1) - tf.reduce_logsumexp(logits, axis=-1)
    columns = tf.range(written.token_ids.shape[1], dtype=tf.int64)
    here = (columns == written.num_tokens[:, None]) & written.running[:, None]  # (B, M)
    num_tokens = written.num_tokens + tf.cast(written.running, tf.int64)
    ended = written.ended | (written.running & (newest == end_of_text_id))
    return Continuations(
        newest=newest,
        token_ids=tf.where(here, newest[:, None], written.token_ids),
        logprobs=tf.where(here, logprobs[:, None], written.logprobs),
        num_tokens=num_tokens,
        ended=ended,
        running=written.running & ~ended & (num_tokens < limits),
    )
