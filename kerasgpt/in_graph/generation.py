"""Prompts -> texts in the graph: fitted, in groups, written, and as the outputs of a signature."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from kerasgpt.in_graph.cache import rows_of, with_room
from kerasgpt.in_graph.decode import Continuations, GraphModel, Write, decode, one_step
from kerasgpt.in_graph.groups import in_groups, rows_per_group
from kerasgpt.in_graph.network import GraphNetwork
from kerasgpt.in_graph.prompts import FittedPrompts, fit_prompts
from kerasgpt.in_graph.requests import Request
from kerasgpt.in_graph.stop_texts import cut_at_stop
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.in_graph.transformer import GraphTransformer


class Words(NamedTuple):
    """What turns the model's numbers into texts.

    Attributes:
        tokenizer: in the graph.
        end_of_text_id: begins an empty prompt, and ends a continuation.
    """

    tokenizer: InGraphTokenizer
    end_of_text_id: int


def generate(
    model: GraphModel, network: GraphNetwork, words: Words, ids: Any, request: Request, error: Any
) -> dict[str, Any]:
    """Continue each row: the outputs of the signature ``generate``.

    Args:
        model: reads and writes.
        network: for its sizes.
        words: of the model.
        ids: ragged int64 (B, None).
        request: of each row, harmless where there is an error.
        error: string (B,), what is wrong with the row, or "".
    """
    config = network.config
    limits = {"end_of_text_id": words.end_of_text_id, "context": config.max_sequence_length}
    prompts = fit_prompts(ids, request.max_new_tokens, **limits)
    most = tf.minimum(tf.reduce_max(tf.concat([request.max_new_tokens, [0]], 0)), config.max_sequence_length)

    def of_group(prompts: FittedPrompts, request: Request) -> Continuations:
        trimmed = prompts._replace(token_ids=prompts.token_ids[:, : tf.reduce_max(prompts.lengths)])
        written = decode(model, trimmed, request, words.tokenizer.pieces_of, **limits)
        return _widened(written, most, words.end_of_text_id)

    size = rows_per_group(config, tf.shape(prompts.token_ids, tf.int64)[1] + most)
    size = size if model.largest_batch is None else tf.minimum(size, model.largest_batch)
    written = in_groups(of_group, (prompts, request), size, _nothing(most))
    width = tf.reduce_max(tf.concat([request.max_new_tokens, [0]], 0))
    return {
        "text": words.tokenizer.decode_rest(cut_at_stop(written.data, request.stop)),
        "token_ids": written.token_ids[:, :width],
        "num_tokens": written.num_tokens,
        "num_prompt_tokens": prompts.lengths,
        "num_dropped_tokens": prompts.num_dropped,
        "finish_reason": tf.where(error == "", tf.where(written.ended, "stop", "length"), "error"),
        "logprobs": written.logprobs[:, :width],
        "logprob": tf.reduce_sum(written.logprobs, axis=1),
        "error": error,
    }


def step_by_step(transformer: GraphTransformer) -> GraphModel:
    """The transformer as a model of the loop; its state is the cache."""

    def prefill(token_ids: Any, lengths: Any, num_new: Any) -> tuple[Any, Any]:
        stream, keys, values = transformer.read_prompts(token_ids)
        last = tf.gather(stream, lengths - 1, batch_dims=1)  # (B, D)
        cache = with_room(keys, values, tf.cast(num_new, tf.int32) + 1)
        return cache, transformer.head(transformer.final_norm(last))

    def take(state: Any, rows: Any) -> Any:
        return rows_of(state, transformer.config.num_heads, rows)

    return GraphModel(prefill, next_step(transformer), take)


def next_step(transformer: GraphTransformer) -> Write:
    """One token more of each row, by the transformer."""

    def step(cache: Any, ids: Any, positions: Any) -> tuple[Any, Any]:
        stream, cache = transformer.read_next(ids[:, None], positions[:, None], cache)
        return cache, transformer.head(transformer.final_norm(stream))

    return one_step(step)


def _widened(written: Continuations, most: Any, filler: int) -> Continuations:
    """With columns for as many tokens as any row of the request may have."""
    missing = tf.cast(most - tf.shape(written.token_ids, tf.int64)[1], tf.int32)
    padding = [[0, 0], [0, missing]]
    return written._replace(
        token_ids=tf.pad(written.token_ids, padding, constant_values=filler),
        logprobs=tf.pad(written.logprobs, padding),
    )


def _nothing(most: Any) -> Continuations:
    """The continuations of no rows."""
    width = tf.cast(most, tf.int32)
    none = tf.zeros([0], tf.int64)
    no_flags = tf.zeros([0], tf.bool)
    return Continuations(
        newest=none,
        token_ids=tf.zeros(tf.stack([0, width]), tf.int64),
        logprobs=tf.zeros(tf.stack([0, width])),
        num_tokens=none,
        data=tf.zeros([0], tf.string),
        ended=no_flags,
        running=no_flags,
    )
