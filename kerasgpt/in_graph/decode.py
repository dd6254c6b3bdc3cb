"""The decode loop inside the graph: a token a step for all rows, each by its own settings, until it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from kerasgpt.in_graph.sampling import Knobs, sample

Prefill = Callable[[Any, Any, Any], tuple[Any, Any]]
"""Right-padded ids int64 (B, T), lengths int64 (B,), and how many more tokens there may be, int64 () -> the
state and the next logits float32 (B, V)."""

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


class Request(NamedTuple):
    """What each row asks for.

    Attributes:
        max_new_tokens: int64 (B,).
        knobs: of its sampling.
        stop: string (B,), a text that ends the row; empty means none.
    """

    max_new_tokens: Any
    knobs: Knobs
    stop: Any


class Continuations(NamedTuple):
    """What has been written so far, M being the most new tokens that any row asks for.

    Attributes:
        newest: int64 (B,), each row's latest choice.
        token_ids: int64 (B, M), end of text where nothing was written.
        logprobs: float32 (B, M), natural logarithms under the unmodified softmax, 0 where none was.
        num_tokens: int64 (B,), tokens written, the end of text included.
        data: string (B,), the bytes of these tokens, the special ones left out.
        ended: bool (B,), whether end of text or the stop text was written.
        running: bool (B,), whether the row goes on.
        seen: bool (B, V), tokens that prompt or continuation hold.
        step: int32 (), steps done.
    """

    newest: Any
    token_ids: Any
    logprobs: Any
    num_tokens: Any
    data: Any
    ended: Any
    running: Any
    seen: Any
    step: Any


def greedy_request(batch: Any, max_new_tokens: int) -> Request:
    """What rows ask for that say nothing: the most probable token, again and again."""
    ones, zeros = tf.ones([batch]), tf.zeros([batch])
    none = tf.zeros([batch], tf.int64)
    knobs = Knobs(zeros, none, ones, zeros, ones, none)
    return Request(tf.fill([batch], tf.constant(max_new_tokens, tf.int64)), knobs, tf.fill([batch], ""))


def fit_prompts(prompts: Any, max_new_tokens: Any, *, end_of_text_id: int, context: int) -> FittedPrompts:
    """Lay prompts side by side, so that the model can read them and has room to write.

    An empty one becomes end of text; one that fills the context keeps its end, as `fit_prompt` in
    `kerasgpt.generation.stopping` says.

    Args:
        prompts: ragged int64 (B, None).
        max_new_tokens: int64 (B,), wanted after each.
        end_of_text_id: which also fills the padding.
        context: the most tokens that prompt and continuation may have together.
    """
    given = prompts.row_lengths()
    room = tf.maximum(context - max_new_tokens, max(context // 2, 1))
    kept = tf.where(given < context, given, room)
    columns = tf.range(tf.maximum(tf.reduce_max(kept), 1))
    first = prompts.row_limits() - kept
    # The end of text put behind all tokens is what padding and empty prompts point to.
    tokens = tf.concat([prompts.flat_values, [end_of_text_id]], 0)
    places = tf.where(columns < kept[:, None], first[:, None] + columns, tf.size(tokens, tf.int64) - 1)
    return FittedPrompts(tf.gather(tokens, places), tf.maximum(kept, 1), given - kept)


def decode(
    prefill: Prefill,
    step: Step,
    prompts: FittedPrompts,
    request: Request,
    pieces: Callable[[Any], Any],
    *,
    end_of_text_id: int,
    context: int,
) -> Continuations:
    """Write after each prompt token after token, as its request says.

    A row ends after end of text, its stop text or its `max_new_tokens`, or where the context is full;
    the loop ends with its last row. A row's result is the one it would have alone.

    Args:
        prefill: reads the prompts.
        step: reads one token more of each row.
        prompts: fitted to the context.
        request: of each row.
        pieces: ids int64 (B,) -> their bytes, string (B,); none for special tokens.
        end_of_text_id: ends a row, and is its last token.
        context: positions the model has.
    """
    lengths = prompts.lengths
    limits = tf.minimum(tf.maximum(context - lengths, 1), request.max_new_tokens)
    most = tf.maximum(tf.reduce_max(request.max_new_tokens), 0)
    state, logits = prefill(prompts.token_ids, lengths, most)

    def advance(written: Continuations, state: Any) -> tuple[Continuations, Any]:
        # Rows that have ended go on being read, unheeded; their positions must only exist.
        positions = tf.minimum(tf.maximum(lengths + written.num_tokens, 1), context) - 1
        state, logits = step(state, written.newest, positions)
        return _write(written, logits, limits, request, pieces, end_of_text_id), state

    start = _nothing(prompts, limits, most, tf.shape(logits)[1], end_of_text_id)
    written, _ = tf.while_loop(
        lambda written, state: tf.reduce_any(written.running),
        advance,
        (_write(start, logits, limits, request, pieces, end_of_text_id), state),
        parallel_iterations=1,
    )
    return written


def cut_at_stop(data: Any, stop: Any) -> Any:
    """What comes before the stop text, if it is there; both string (B,)."""

    def before(row: tuple[Any, Any]) -> Any:
        return tf.cond(row[1] != "", lambda: _split(*row)[0], lambda: row[0])

    return tf.map_fn(before, (data, stop), fn_output_signature=tf.TensorSpec([], tf.string))


def _nothing(
    prompts: FittedPrompts, limits: Any, most: Any, num_ids: Any, end_of_text_id: int
) -> Continuations:
    batch, width = tf.unstack(tf.shape(prompts.token_ids))
    shape = tf.stack([batch, tf.cast(most, tf.int32)])
    # Padding is marked as the prompt's last token, which is seen anyway.
    last = tf.gather(prompts.token_ids, prompts.lengths - 1, batch_dims=1)[:, None]
    read = tf.where(tf.sequence_mask(prompts.lengths, width), prompts.token_ids, last)
    return Continuations(
        newest=tf.zeros([batch], tf.int64),
        token_ids=tf.fill(shape, tf.constant(end_of_text_id, tf.int64)),
        logprobs=tf.zeros(shape),
        num_tokens=tf.zeros([batch], tf.int64),
        data=tf.fill([batch], ""),
        ended=tf.zeros([batch], tf.bool),
        running=limits > 0,
        seen=_mark(tf.zeros(tf.stack([batch, num_ids]), tf.bool), read),
        step=tf.constant(0),
    )


def _mark(seen: Any, ids: Any) -> Any:
    """Mark the ids int64 (B, T) of each row in bool (B, V)."""
    batch, width = tf.unstack(tf.shape(ids, tf.int64))
    rows = tf.repeat(tf.range(batch), width)
    places = tf.stack([rows, tf.reshape(ids, [-1])], axis=1)  # (B T, 2)
    return tf.tensor_scatter_nd_update(seen, places, tf.ones_like(rows, tf.bool))


def _write(
    written: Continuations, logits: Any, limits: Any, request: Request, pieces: Any, end_of_text_id: int
) -> Continuations:
    """Append each running row's next token; logits float32 (B, V), limits int64 (B,)."""
    newest = sample(logits, request.knobs, written.seen, written.step)  # (B,)
    logprobs = tf.gather(logits, newest, batch_dims=1) - tf.reduce_logsumexp(logits, axis=-1)
    columns = tf.range(tf.shape(written.token_ids, tf.int64)[1])
    here = (columns == written.num_tokens[:, None]) & written.running[:, None]  # (B, M)
    num_tokens = written.num_tokens + tf.cast(written.running, tf.int64)
    data = tf.where(written.running, tf.strings.join([written.data, pieces(newest)]), written.data)
    ends = (newest == end_of_text_id) | _holds(data, request.stop)
    ended = written.ended | (written.running & ends)
    return Continuations(
        newest=newest,
        token_ids=tf.where(here, newest[:, None], written.token_ids),
        logprobs=tf.where(here, logprobs[:, None], written.logprobs),
        num_tokens=num_tokens,
        data=data,
        ended=ended,
        running=written.running & ~ended & (num_tokens < limits),
        seen=_mark(written.seen, newest[:, None]),
        step=written.step + 1,
    )


def _holds(data: Any, stop: Any) -> Any:
    """Whether each text holds its stop text, if it has one: string (B,) each -> bool (B,)."""

    def search() -> Any:
        return tf.map_fn(
            lambda row: (row[1] != "") & (tf.size(_split(*row)) > 1),
            (data, stop),
            fn_output_signature=tf.TensorSpec([], tf.bool),
        )

    return tf.cond(tf.reduce_any(stop != ""), search, lambda: tf.zeros_like(stop, tf.bool))


def _split(text: Any, separator: Any) -> Any:
    """Split one text at a separator: string () each -> string (N,)."""
    return tf.raw_ops.StringSplitV2(input=text[None], sep=separator).values
