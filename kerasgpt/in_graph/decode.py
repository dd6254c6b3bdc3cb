"""The decode loop inside the graph: a token a step for all rows, each by its own settings, until it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from kerasgpt.in_graph.prompts import FittedPrompts
from kerasgpt.in_graph.requests import Request
from kerasgpt.in_graph.sampling import Knobs, sample
from kerasgpt.in_graph.stop_texts import holds


class GraphModel(NamedTuple):
    """A model as functions of the graph; its state is any structure of tensors.

    Attributes:
        prefill: right-padded ids int64 (B, T), lengths int64 (B,), and how many more tokens there may be,
            int64 () -> the state and the next logits float32 (B, V).
        write: reads each row's newest token, and writes the next ones; see `one_step`.
        take: state, rows int64 (R,) -> the state of these rows alone; or None, then rows that have ended
            go on being read, unheeded.
        largest_batch: rows it takes at a time, if it is not to have more.
    """

    prefill: Callable[[Any, Any, Any], tuple[Any, Any]]
    write: Write
    take: Callable[[Any, Any], Any] | None = None
    largest_batch: int | None = None


class Newest(NamedTuple):
    """The last token of each row, which the model has not read yet, and what the next one depends on.

    Attributes:
        ids: int64 (R,).
        positions: int32 (R,), of these tokens.
        seen: bool (R, V), tokens that prompt or continuation hold.
        steps: int64 (R,), tokens written so far.
    """

    ids: Any
    positions: Any
    seen: Any
    steps: Any


Write = Callable[[Any, Newest, Knobs], tuple[Any, Any, Any, Any]]
"""State, newest tokens, knobs of R rows -> state, next ids int64 (R, K), their log-probabilities float32
(R, K), and what has been seen then, bool (R, V)."""


class Continuations(NamedTuple):
    """What has been written so far, M being the most new tokens that any row may have.

    Attributes:
        newest: int64 (B,), each row's last token.
        token_ids: int64 (B, M), end of text where nothing was written.
        logprobs: float32 (B, M), natural logarithms under the unmodified softmax, 0 where none was.
        num_tokens: int64 (B,), tokens of the continuation, the end of text included.
        data: string (B,), the bytes of the continuation, the special tokens left out.
        ended: bool (B,), whether end of text or the stop text was written.
        running: bool (B,), whether the row goes on.
    """

    newest: Any
    token_ids: Any
    logprobs: Any
    num_tokens: Any
    data: Any
    ended: Any
    running: Any


class Rows(NamedTuple):
    """What the rows are held to.

    Attributes:
        lengths: int64 (B,), tokens of each prompt.
        limits: int64 (B,), tokens that its continuation may have.
        first: int64 (B,), tokens that it had before, which have no column in what is written.
        request: of each.
    """

    lengths: Any
    limits: Any
    first: Any
    request: Request


def decode(
    model: GraphModel,
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
        model: reads and writes.
        prompts: fitted to the context.
        request: of each row.
        pieces: ids int64 (B,) -> their bytes, string (B,); none for special tokens.
        end_of_text_id: ends a row, and is its last token.
        context: positions the model has.
    """
    lengths = prompts.lengths
    limits = most_tokens(lengths, request.max_new_tokens, context)
    most = tf.maximum(tf.reduce_max(limits), 0)
    rows = Rows(lengths, limits, tf.zeros_like(lengths), request)
    state, logits = model.prefill(prompts.token_ids, lengths, most)
    seen = seen_in(prompts.token_ids, lengths, tf.shape(logits)[1])
    written = nothing_written(rows, most, end_of_text_id)
    ids, logprobs = choose(logits, request.knobs, seen, written.num_tokens)
    everyone = tf.range(tf.size(lengths))
    written = append(written, everyone, ids, logprobs, rows, pieces, end_of_text_id)
    return go_on(model, state, mark(seen, ids[:, None]), written, rows, pieces, end_of_text_id, context)[0]


def go_on(
    model: GraphModel,
    state: Any,
    seen: Any,
    written: Continuations,
    rows: Rows,
    pieces: Callable[[Any], Any],
    end_of_text_id: int,
    context: int,
) -> tuple[Continuations, Any]:
    """Write until no row runs any more: what is written then, and the state.

    When half of the rows have ended, the others go on without them, if the model can take rows apart.
    """

    def is_busy(written: Continuations, present: Any, *_: Any) -> Any:
        num_running = tf.reduce_sum(tf.cast(written.running, tf.int32))
        least = tf.size(present) // 2 if model.take else 0
        return (num_running > 0) & (num_running > least)

    def advance(written: Continuations, present: Any, seen: Any, state: Any) -> tuple[Any, ...]:
        newest = _newest(written, present, seen, rows, context)
        knobs = _of(rows.request.knobs, present)
        state, ids, logprobs, seen = model.write(state, newest, knobs)

        def add(column: Any, written: Continuations) -> tuple[Any, Any]:
            new = (ids[:, column], logprobs[:, column])
            return column + 1, append(written, present, *new, rows, pieces, end_of_text_id)

        number, written = add(0, written)
        _, written = _loop(lambda column, _: column < tf.shape(ids)[1], add, (tf.constant(number), written))
        return written, present, seen, state

    def without_the_ended(present: Any, seen: Any, state: Any, is_running: Any) -> tuple[Any, Any, Any]:
        assert model.take is not None
        left = tf.cast(tf.where(is_running)[:, 0], tf.int32)
        return tf.gather(present, left), tf.gather(seen, left), model.take(state, left)

    def run(written: Continuations, *present: Any) -> tuple[Any, ...]:
        if model.take:
            is_running = tf.gather(written.running, present[0])
            present = tf.cond(
                tf.reduce_all(is_running),
                lambda: present,
                lambda: without_the_ended(present[0], present[1], present[2], is_running),
            )
        return tuple(_loop(is_busy, advance, (written, *present)))

    carried = (written, tf.range(tf.size(rows.lengths)), seen, state)
    written, _, _, state = _loop(lambda written, *_: tf.reduce_any(written.running), run, carried)
    return written, state


def _loop(is_busy: Any, body: Any, carried: tuple[Any, ...]) -> Any:
    """A while loop whose tensors may change their number of rows."""
    shapes = tf.nest.map_structure(
        lambda tensor: tf.TensorShape([None, *tensor.shape[1:]] if tensor.shape.rank else []), carried
    )
    return tf.while_loop(is_busy, body, carried, shapes, parallel_iterations=1)


def one_step(step: Callable[[Any, Any, Any], tuple[Any, Any]]) -> Write:
    """A `Write` of one token, by a function (state, ids, positions) -> (state, logits)."""

    def write(state: Any, newest: Newest, knobs: Knobs) -> tuple[Any, Any, Any, Any]:
        state, logits = step(state, newest.ids, newest.positions)
        ids, logprobs = choose(logits, knobs, newest.seen, newest.steps)
        return state, ids[:, None], logprobs[:, None], mark(newest.seen, ids[:, None])

    return write


def choose(logits: Any, knobs: Knobs, seen: Any, steps: Any) -> tuple[Any, Any]:
    """The next ids int64 (R,), and their log-probabilities float32 (R,) under the unmodified softmax."""
    ids = sample(logits, knobs, seen, steps)
    return ids, tf.gather(logits, ids, batch_dims=1) - tf.reduce_logsumexp(logits, axis=-1)


def most_tokens(lengths: Any, max_new_tokens: Any, context: int) -> Any:
    """How many tokens may be written after prompts; where any are wanted at least one: int64 (B,)."""
    return tf.minimum(tf.maximum(context - lengths, 1), max_new_tokens)


def nothing_written(rows: Rows, most: Any, end_of_text_id: int) -> Continuations:
    """The beginning: no token of M, int64 ()."""
    batch = tf.size(rows.lengths)
    shape = tf.stack([batch, tf.cast(most, tf.int32)])
    return Continuations(
        newest=tf.zeros([batch], tf.int64),
        token_ids=tf.fill(shape, tf.constant(end_of_text_id, tf.int64)),
        logprobs=tf.zeros(shape),
        num_tokens=rows.first,
        data=tf.fill([batch], ""),
        ended=tf.zeros([batch], tf.bool),
        running=rows.first < rows.limits,
    )


def seen_in(token_ids: Any, lengths: Any, num_ids: Any) -> Any:
    """Which ids each row holds: int64 (B, T), of which `lengths` count -> bool (B, V)."""
    batch, width = tf.unstack(tf.shape(token_ids))
    # Padding is marked as the row's last token, which is seen anyway.
    last = tf.gather(token_ids, lengths - 1, batch_dims=1)[:, None]
    read = tf.where(tf.sequence_mask(lengths, width), token_ids, last)
    return mark(tf.zeros(tf.stack([batch, num_ids]), tf.bool), read)


def mark(seen: Any, ids: Any) -> Any:
    """Mark the ids int64 (B, T) of each row in bool (B, V)."""
    batch, width = tf.unstack(tf.shape(ids, tf.int64))
    rows = tf.repeat(tf.range(batch), width)
    places = tf.stack([rows, tf.reshape(ids, [-1])], axis=1)  # (B T, 2)
    return tf.tensor_scatter_nd_update(seen, places, tf.ones_like(rows, tf.bool))


def append(
    written: Continuations,
    present: Any,
    ids: Any,
    logprobs: Any,
    rows: Rows,
    pieces: Callable[[Any], Any],
    end_of_text_id: int,
) -> Continuations:
    """Append a token to those of the rows `present`, int32 (R,), that run; ids and logprobs (R,)."""
    runs, num_tokens, data, ended = _of(
        (written.running, written.num_tokens, written.data, written.ended), present
    )
    limits, stop = tf.gather(rows.limits, present), tf.gather(rows.request.stop, present)
    places = tf.stack([present, tf.cast(num_tokens - tf.gather(rows.first, present), tf.int32)], axis=1)
    places, new_ids, new_logprobs = (tf.boolean_mask(each, runs) for each in (places, ids, logprobs))
    data = tf.where(runs, tf.strings.join([data, pieces(ids)]), data)
    num_tokens += tf.cast(runs, tf.int64)
    ended |= runs & ((ids == end_of_text_id) | holds(data, stop))
    runs &= ~ended & (num_tokens < limits)

    def put(all_rows: Any, new: Any) -> Any:
        return tf.tensor_scatter_nd_update(all_rows, present[:, None], new)

    return Continuations(
        newest=put(written.newest, ids),
        token_ids=tf.tensor_scatter_nd_update(written.token_ids, places, new_ids),
        logprobs=tf.tensor_scatter_nd_update(written.logprobs, places, new_logprobs),
        num_tokens=put(written.num_tokens, num_tokens),
        data=put(written.data, data),
        ended=put(written.ended, ended),
        running=put(written.running, runs),
    )


def _newest(written: Continuations, present: Any, seen: Any, rows: Rows, context: int) -> Newest:
    num_tokens = tf.gather(written.num_tokens, present)
    positions = tf.gather(rows.lengths, present) + num_tokens - 1
    # Rows that have ended go on being read, unheeded; their positions must only exist.
    positions = tf.clip_by_value(positions, 0, context - 1)
    return Newest(tf.gather(written.newest, present), tf.cast(positions, tf.int32), seen, num_tokens)


def _of(structure: Any, rows: Any) -> Any:
    """Some rows of every tensor of a structure."""
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), structure)
