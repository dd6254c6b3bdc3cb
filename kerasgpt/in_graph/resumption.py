"""Generation a few tokens a call: the KV cache is given out and taken back, so that a client can stream."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from kerasgpt.in_graph.cache import GraphCache, unfolded, with_room
from kerasgpt.in_graph.decode import (
    Continuations,
    GraphModel,
    Rows,
    Write,
    go_on,
    most_tokens,
    nothing_written,
    seen_in,
)
from kerasgpt.in_graph.generation import Words
from kerasgpt.in_graph.groups import in_groups, refuse_large, rows_per_group
from kerasgpt.in_graph.prompts import FittedPrompts
from kerasgpt.in_graph.requests import Request, first_error, harmless
from kerasgpt.in_graph.speculation import drafting
from kerasgpt.in_graph.stop_texts import before_a_beginning, cut_at_stop, holds
from kerasgpt.in_graph.streaming import split_unfinished
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.in_graph.transformer import GraphTransformer


class Paused(NamedTuple):
    """Texts in the making, as a client keeps them between two calls.

    Attributes:
        keys: float32 (B, L, N, C, H), of all tokens but each row's last; what is behind them means nothing.
        values: float32 (B, L, N, C, H).
        token_ids: int64 (B, S), prompt and continuation, padded on the right.
        num_prompt_tokens: int64 (B,).
        num_tokens: int64 (B,), of the continuation.
    """

    keys: Any
    values: Any
    token_ids: Any
    num_prompt_tokens: Any
    num_tokens: Any


def pause(model: GraphTransformer, prompts: FittedPrompts) -> Paused:
    """Read prompts, and write nothing yet."""
    config = model.config
    size = 2 * config.num_layers * config.hidden_dim * tf.size(prompts.token_ids, tf.int64)
    width = tf.shape(prompts.token_ids)[1]
    empty = tf.zeros([0, config.num_layers, config.num_heads, width, config.head_dim])

    def read(ids: Any) -> tuple[Any, Any]:
        _, keys, values = model.read_prompts(ids)
        return tf.stack(keys, 1), tf.stack(values, 1)

    with tf.control_dependencies([refuse_large(size, "the cache")]):
        ids = tf.identity(prompts.token_ids)
        keys, values = in_groups(read, (ids,), rows_per_group(config, width), (empty, empty))
    return Paused(keys, values, prompts.token_ids, prompts.lengths, tf.zeros_like(prompts.lengths))


def resume(
    model: GraphTransformer,
    words: Words,
    paused: Paused,
    request: Request,
    request_error: Any,
    num_steps: Any,
    write: Write,
) -> dict[str, Any]:
    """Write up to `num_steps` tokens more, int64 (B,): the outputs of the signature ``decode``."""
    tokenizer, end_of_text_id = words
    context = model.config.max_sequence_length
    paused = _matching(paused)
    error = first_error(_errors(paused, num_steps, model.config.vocabulary_size, context), request_error)
    request = harmless(request, error)
    width = tf.shape(paused.token_ids, tf.int64)[1]
    # Rows that make no sense are read as one end of text of which nothing is asked.
    usable = error == ""
    ids = tf.where(usable[:, None], paused.token_ids, end_of_text_id)
    lengths = tf.where(usable, paused.num_prompt_tokens, 1)
    before = tf.where(usable, paused.num_tokens, 0)
    limits = most_tokens(lengths, request.max_new_tokens, context)
    now = tf.minimum(limits, before + tf.where(usable, tf.minimum(num_steps, context), 0))
    rows = Rows(lengths, now, before, request)
    most = tf.maximum(tf.reduce_max(now - before), 0)
    written = _so_far(tokenizer, ids, rows, most, end_of_text_id)
    seen = seen_in(ids, lengths + before, model.config.vocabulary_size)
    keys, values = (_known(part, lengths + before - 1) for part in (paused.keys, paused.values))
    cache = with_room(_by_layer(keys), _by_layer(values), tf.cast(most, tf.int32) + 1)
    state = drafting(cache, ids)
    old_text = _certain(written, request.stop, limits)
    engine = GraphModel(prefill=_no_prefill, write=write)
    written, state = go_on(engine, state, seen, written, rows, tokenizer.pieces_of, end_of_text_id, context)
    done = written.num_tokens
    is_last = written.ended | (done >= limits)
    reason = tf.where(usable, tf.where(written.ended, "stop", tf.where(is_last, "length", "")), "error")
    new_text = _certain(written, request.stop, limits)
    skipped = tf.strings.length(old_text)
    return {
        **_paused_again(model, state.cache, ids, written, rows, width)._asdict(),
        "text": tf.strings.substr(new_text, skipped, tf.strings.length(new_text) - skipped),
        "num_new_tokens": done - before,
        "logprobs": written.logprobs,
        "finish_reason": reason,
        "error": error,
    }


def _no_prefill(*_: Any) -> tuple[Any, Any]:
    raise AssertionError("the prompts have been read")


def _matching(paused: Paused) -> Paused:
    """The state, if its parts have as many rows as each other, and keys and values the same shape.

    Raises:
        InvalidArgumentError: they have not; the request as a whole is refused.
    """
    counts = [tf.size(paused.num_prompt_tokens), tf.size(paused.num_tokens)]
    rows = tf.stack([tf.shape(paused.keys)[0], *counts])
    message = "keys, token_ids, num_prompt_tokens and num_tokens must have one row for each text"
    same_rows = tf.debugging.assert_equal(rows, tf.shape(paused.token_ids)[0], message)
    message = "keys and values must have the same shape: give back both as they came"
    same_shape = tf.debugging.assert_equal(tf.shape(paused.keys), tf.shape(paused.values), message)
    with tf.control_dependencies([same_rows, same_shape]):
        return Paused(*(tf.identity(part) for part in paused))


def _errors(paused: Paused, num_steps: Any, num_ids: int, context: int) -> Any:
    """What is wrong with what a client gives back: string (B,)."""
    width, columns = tf.shape(paused.token_ids, tf.int64)[1], tf.shape(paused.keys, tf.int64)[3]
    # Clipped to what is refused anyway, so that the largest numbers do not overflow in their sum.
    total = tf.add_n(
        [tf.clip_by_value(count, -1, context + 2) for count in (paused.num_prompt_tokens, paused.num_tokens)]
    )
    counts = tf.sequence_mask(tf.clip_by_value(total, 0, width), width)
    wrong = counts & ((paused.token_ids < 0) | (paused.token_ids >= num_ids))
    fits = (paused.num_prompt_tokens >= 1) & (paused.num_tokens >= 0)
    fits &= (total <= width) & (total - 1 <= columns) & (total <= context + 1)
    return first_error(
        tf.where(
            fits, "", "num_prompt_tokens and num_tokens do not fit token_ids and keys: give back all five"
        ),
        tf.where(tf.reduce_any(wrong, axis=1), f"token_ids holds an id outside 0 to {num_ids - 1}", ""),
        tf.where(num_steps >= 0, "", "num_steps must be 0 or more"),
    )


def _known(part: Any, counts: Any) -> Any:
    """Keys or values (B, L, N, C, H), zero behind the first `counts` columns of each row.

    There a client may hand back anything, and what is hidden by a large number must not be infinite.
    """
    known = tf.sequence_mask(counts, tf.shape(part, tf.int64)[3])
    return tf.where(known[:, None, None, :, None], part, 0)


def _by_layer(part: Any) -> list[Any]:
    return tf.unstack(part, axis=1)


def _so_far(
    tokenizer: InGraphTokenizer, ids: Any, rows: Rows, most: Any, end_of_text_id: int
) -> Continuations:
    """The continuations as they were left."""
    columns = tf.range(tf.shape(ids, tf.int64)[1])
    total = rows.lengths + rows.first
    is_new = (columns >= rows.lengths[:, None]) & (columns < total[:, None])
    pieces = tf.where(is_new, tokenizer.pieces_of(ids), "")
    data = tf.strings.reduce_join(pieces, axis=1)
    newest = tf.gather(ids, total - 1, batch_dims=1)
    ended = (rows.first > 0) & ((newest == end_of_text_id) | holds(data, rows.request.stop))
    start = nothing_written(rows, most, end_of_text_id)
    return start._replace(newest=newest, data=data, ended=ended, running=start.running & ~ended)


def _certain(written: Continuations, stop: Any, limits: Any) -> Any:
    """The text that no further token can change, string (B,), valid UTF-8."""
    is_last = written.ended | (written.num_tokens >= limits)
    complete, _ = split_unfinished(before_a_beginning(written.data, stop))
    data = tf.where(is_last, cut_at_stop(written.data, stop), complete)
    return tf.strings.unicode_transcode(data, "UTF-8", "UTF-8", errors="replace")


def _paused_again(
    model: GraphTransformer, cache: GraphCache, ids: Any, written: Continuations, rows: Rows, width: Any
) -> Paused:
    """The state after this call; each row's new ids follow its old ones."""
    total = rows.lengths + written.num_tokens
    old = rows.lengths + rows.first
    columns = tf.range(tf.reduce_max(tf.concat([total, [1]], 0)))
    # Of the old and the new ids side by side, where each row's number j stands.
    places = tf.where(columns < old[:, None], columns, columns - old[:, None] + width)
    both = tf.concat([ids, written.token_ids], axis=1)
    token_ids = tf.gather(both, tf.minimum(places, tf.shape(both, tf.int64)[1] - 1), batch_dims=1)
    used = tf.reduce_max(tf.concat([total - 1, [0]], 0))

    def stacked(parts: Any) -> Any:
        heads = model.config.num_heads
        return tf.stack([unfolded(part, heads, cache.columns)[:, :, :used] for part in parts], axis=1)

    return Paused(stacked(cache.keys), stacked(cache.values), token_ids, rows.lengths, written.num_tokens)
