"""The model compiled by XLA, for a few sizes that all requests are padded to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from kerasgpt.config import GPT2Config
from kerasgpt.in_graph.cache import GraphCache, with_room
from kerasgpt.in_graph.decode import GraphModel, Newest, choose, mark
from kerasgpt.in_graph.sampling import Knobs
from kerasgpt.in_graph.transformer import GraphTransformer

STEPS = 8
"""Tokens that a compiled call writes; a row that ends among them ends there all the same."""

LARGEST_BATCH = 8
"""Rows of one call; larger requests are written in groups."""


class Buckets(NamedTuple):
    """The sizes that XLA compiles for; a size in between is padded to the next one.

    Attributes:
        rows: of a group.
        prompts: tokens of a prompt.
        columns: of the cache, for prompt and continuation together.
    """

    rows: tuple[int, ...]
    prompts: tuple[int, ...]
    columns: tuple[int, ...]

    @classmethod
    def of(cls, config: GPT2Config) -> Buckets:
        """Those of a model: by fours up to the context.

        >>> Buckets.of(GPT2Config(max_sequence_length=300))
        Buckets(rows=(1, 8), prompts=(32, 128, 300), columns=(128, 308))
        """
        context = config.max_sequence_length
        prompts = tuple(size for size in (32, 128, 512) if size < context)
        columns = tuple(size for size in (128, 512) if size < context)
        return cls((1, LARGEST_BATCH), (*prompts, context), (*columns, context + STEPS))

    def requests(self) -> list[tuple[int, int, int]]:
        """Rows, prompt tokens and new tokens of requests that reach every size once."""
        shapes = []
        for rows in self.rows:
            for prompt in self.prompts:
                for columns in self.columns:
                    new = columns - STEPS - prompt
                    if new >= 2:  # the first token comes from reading, the second from a step
                        shapes.append((rows, prompt, new))
            shapes.append((rows, self.prompts[-1], 1))
            if len(self.columns) == 1 and self.prompts[0] > self.columns[0] - STEPS - 2 > 0:
                # So little context leaves no room behind a whole prompt: a shorter one is padded to it.
                shapes.append((rows, self.columns[0] - STEPS - 2, 2))
        return shapes


def compiled_model(transformer: GraphTransformer) -> GraphModel:
    """The transformer as a model of the loop, which reads and writes by compiled functions.

    Args:
        transformer: made with ``compiled=True``.
    """
    config = transformer.config
    buckets = Buckets.of(config)

    @tf.function(jit_compile=True, autograph=False)
    def read(ids: Any, lengths: Any, room: Any) -> tuple[Any, Any]:
        stream, keys, values = transformer.read_prompts(ids)
        last = tf.gather(stream, lengths - 1, batch_dims=1)
        cache = with_room(keys, values, tf.shape(room)[0])
        return cache[:2], transformer.head(transformer.final_norm(last))

    @tf.function(jit_compile=True, autograph=False)
    def write_steps(parts: Any, newest: Newest, knobs: Knobs, columns: Any) -> tuple[Any, Any, Any, Any]:
        return _write_steps(transformer, parts, newest, knobs, tf.shape(columns)[0])

    def prefill(token_ids: Any, lengths: Any, num_new: Any) -> tuple[Any, Any]:
        batch, width = tf.unstack(tf.shape(token_ids))
        rows, padded = _bucket(batch, buckets.rows), _bucket(width, buckets.prompts)
        wanted = tf.reduce_max(tf.cast(lengths, tf.int32)) + tf.cast(num_new, tf.int32) + STEPS
        columns = _bucket(tf.maximum(wanted, padded + 1), buckets.columns)
        ids = tf.pad(token_ids, [[0, rows - batch], [0, padded - width]])
        lengths = tf.pad(lengths, [[0, rows - batch]], constant_values=1)
        # Sizes are told by shapes, which XLA knows when it compiles.
        parts, logits = read(ids, lengths, tf.zeros([columns - padded], tf.bool))
        return GraphCache(parts[0], parts[1], columns), logits[:batch]

    def write(state: GraphCache, newest: Newest, knobs: Knobs) -> tuple[Any, Any, Any, Any]:
        batch = tf.size(newest.ids)
        missing = _bucket(batch, buckets.rows) - batch
        newest, knobs = tf.nest.map_structure(lambda tensor: _more_rows(tensor, missing), (newest, knobs))
        columns = tf.zeros([state.columns], tf.bool)
        parts, ids, logprobs, seen = write_steps(state[:2], newest, knobs, columns)
        return GraphCache(parts[0], parts[1], state.columns), ids[:batch], logprobs[:batch], seen[:batch]

    return GraphModel(prefill, write, largest_batch=LARGEST_BATCH)


def _write_steps(
    transformer: GraphTransformer, parts: Any, newest: Newest, knobs: Knobs, columns: Any
) -> tuple[Any, Any, Any, Any]:
    """Read the newest token and choose the next, `STEPS` times, whatever they are."""
    last = transformer.config.max_sequence_length - 1
    nothing = tf.zeros(tf.stack([STEPS, tf.size(newest.ids)]))  # (K, B)

    def step(number: Any, parts: Any, newest: Newest, ids: Any, logprobs: Any) -> tuple[Any, ...]:
        stream, cache = transformer.read_next(
            newest.ids[:, None], newest.positions[:, None], GraphCache(parts[0], parts[1], columns)
        )
        logits = transformer.head(transformer.final_norm(stream))
        chosen, found = choose(logits, knobs, newest.seen, newest.steps)
        seen = mark(newest.seen, chosen[:, None])
        positions = tf.minimum(newest.positions + 1, last)
        ids = tf.tensor_scatter_nd_update(ids, [[number]], chosen[None])
        logprobs = tf.tensor_scatter_nd_update(logprobs, [[number]], found[None])
        return number + 1, cache[:2], Newest(chosen, positions, seen, newest.steps + 1), ids, logprobs

    carried = (parts, newest)
    by_row = tf.nest.map_structure(lambda tensor: tf.TensorShape([None, *tensor.shape[1:]]), carried)
    by_step = tf.TensorShape([STEPS, None])
    _, parts, newest, ids, logprobs = tf.while_loop(
        lambda number, *_: number < STEPS,
        step,
        (tf.constant(0), *carried, tf.cast(nothing, tf.int64), nothing),
        (tf.TensorShape([]), *by_row, by_step, by_step),
        maximum_iterations=STEPS,
    )
    return parts, tf.transpose(ids), tf.transpose(logprobs), newest.seen


def _bucket(size: Any, sizes: Sequence[int]) -> Any:
    """The least of the sizes that holds `size`, int32 (); the last one if none does."""
    fits = tf.where(tf.constant(sizes) >= size, tf.constant(sizes), sizes[-1])
    return tf.reduce_min(fits)


def _more_rows(tensor: Any, count: Any) -> Any:
    """Repeat the last row: (B, ...) -> (B + count, ...)."""
    rows = tf.shape(tensor)[0]
    return tf.gather(tensor, tf.minimum(tf.range(rows + count), rows - 1))
