"""Prompts in the graph: cut to what the context holds, and laid side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class FittedPrompts(NamedTuple):
    """Prompts as the model reads them.

    Attributes:
        token_ids: int64 (B, T), padded on the right with end of text, T being at least 1.
        lengths: int64 (B,), at least 1.
        num_dropped: int64 (B,), tokens left out at the beginning.
    """

    token_ids: Any
    lengths: Any
    num_dropped: Any


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
    return keep_ends(prompts, tf.where(given < context, given, room), end_of_text_id)


def keep_ends(rows: Any, kept: Any, filler: int) -> FittedPrompts:
    """Lay the last `kept` ids of each row side by side; a row of none becomes one filler.

    Args:
        rows: ragged int64 (B, None).
        kept: int64 (B,), at most the length of each row.
        filler: stands in padding and in empty rows.
    """
    columns = tf.range(tf.maximum(tf.reduce_max(kept), 1))
    first = rows.row_limits() - kept
    # The filler put behind all tokens is what padding and empty rows point to.
    tokens = tf.concat([rows.flat_values, [filler]], 0)
    places = tf.where(columns < kept[:, None], first[:, None] + columns, tf.size(tokens, tf.int64) - 1)
    return FittedPrompts(tf.gather(tokens, places), tf.maximum(kept, 1), rows.row_lengths() - kept)
