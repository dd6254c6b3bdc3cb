"""How probable given texts are, in the graph: log-probabilities of continuations after their prompts."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from kerasgpt.in_graph.groups import in_groups, rows_per_group
from kerasgpt.in_graph.network import GraphNetwork
from kerasgpt.in_graph.prompts import keep_ends

_TOKENS_AT_ONCE = 256  # whose logits are held


class Scores(NamedTuple):
    """What continuations score.

    Attributes:
        logprob: float32 (B,), the sum over their tokens, natural logarithms.
        num_tokens: int64 (B,).
        is_greedy: bool (B,), whether each token is the most probable one.
        error: string (B,), "" or why the row was not scored.
    """

    logprob: Any
    num_tokens: Any
    is_greedy: Any
    error: Any


def score(model: GraphNetwork, prompts: Any, continuations: Any, end_of_text_id: int) -> Scores:
    """Score each continuation after its prompt, as `kerasgpt.generation.scoring.Scorer` does.

    An empty prompt is end of text. Where the two do not fit into the context together only the prompt's end
    is read; a continuation longer than the context is an error of its row. An empty one is certain.

    Args:
        model: the network.
        prompts: ragged int64 (B, None).
        continuations: ragged int64 (B, None).
        end_of_text_id: of the model.
    """
    context = model.config.max_sequence_length
    num_tokens = continuations.row_lengths()
    too_long = num_tokens > context
    sentence = tf.strings.join(
        [
            "the continuation has ",
            tf.strings.as_string(num_tokens),
            f" tokens, more than the model's context of {context}: score it in parts",
        ]
    )
    scored = tf.where(too_long, tf.zeros_like(num_tokens), num_tokens)
    # The last token is scored and never read, so that it needs no position.
    kept = tf.minimum(prompts.row_lengths(), context - tf.maximum(scored - 1, 0))
    before = keep_ends(prompts, kept, end_of_text_id)
    after = keep_ends(continuations, scored, end_of_text_id)
    joined = tf.concat(
        [
            tf.RaggedTensor.from_tensor(before.token_ids, before.lengths),
            tf.RaggedTensor.from_tensor(after.token_ids, scored),
        ],
        axis=1,
    )
    ids = joined.to_tensor(end_of_text_id)  # (B, T)

    def of_group(ids: Any, first: Any, count: Any) -> tuple[Any, Any]:
        ids = ids[:, : tf.reduce_max(first + count)]
        stream, *_ = model.read_prompts(ids[:, : tf.reduce_max(first + tf.maximum(count - 1, 0))])
        return _sums(model, stream, ids, first, count)

    empty = (tf.zeros([0]), tf.zeros([0], tf.bool))
    size = rows_per_group(model.config, tf.shape(ids, tf.int64)[1])
    logprob, is_greedy = in_groups(of_group, (ids, before.lengths, scored), size, empty)
    return Scores(logprob, num_tokens, is_greedy & ~too_long, tf.where(too_long, sentence, ""))


def _sums(model: GraphNetwork, stream: Any, ids: Any, first: Any, count: Any) -> tuple[Any, Any]:
    """Sum log-probabilities of the tokens `first` .. `first + count - 1` of each row.

    Args:
        model: the network.
        stream: float32 (R, T or T - 1, D).
        ids: int64 (R, T).
        first: int64 (R,), at least 1.
        count: int64 (R,).
    """
    columns = tf.range(tf.shape(ids, tf.int64)[1])
    is_scored = (columns >= first[:, None]) & (columns < (first + count)[:, None])  # (R, T)
    places = tf.where(is_scored)  # (n, 2)
    targets = tf.gather_nd(ids, places)
    hidden = tf.gather_nd(stream, places - tf.constant([0, 1], tf.int64))  # (n, D), of the token before

    def of_tokens(hidden: Any, targets: Any) -> tuple[Any, Any]:
        logits = model.head(model.final_norm(hidden))
        chosen = tf.gather(logits, targets, batch_dims=1)
        return chosen - tf.reduce_logsumexp(logits, axis=-1), tf.argmax(logits, axis=-1) == targets

    empty = (tf.zeros([0]), tf.zeros([0], tf.bool))
    logprobs, is_best = in_groups(of_tokens, (hidden, targets), tf.constant(_TOKENS_AT_ONCE), empty)
    num_rows = tf.size(first)
    rows = tf.cast(places[:, 0], tf.int32)
    total = tf.math.unsorted_segment_sum(tf.cast(logprobs, tf.float64), rows, num_rows)
    worse = tf.math.unsorted_segment_sum(tf.cast(~is_best, tf.int32), rows, num_rows)
    return tf.cast(total, tf.float32), worse == 0
