"""GPT-2 in core TensorFlow ops, of as few as a step can be done with: what a SavedModel computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from kerasgpt.config import GPT2Config
from kerasgpt.in_graph.cache import GraphCache, places, write_in_copy, write_in_place

Weights = Mapping[str, Any]
"""Tensors float32 by their Hugging Face names."""

_MASKED = -1e9
_GELU = 2 * (2 / 3.141592653589793) ** 0.5


def _gelu_new(x: Any) -> Any:
    # 0.5 x (1 + tanh(y)) = x sigmoid(2 y), which is two ops less.
    return x * tf.sigmoid(x * (_GELU + _GELU * 0.044715 * tf.square(x)))


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "gelu_new": _gelu_new,
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "relu": tf.nn.relu,
    "silu": lambda x: x * tf.sigmoid(x),
    "tanh": tf.tanh,
}


class GraphTransformer:
    """The forward pass of `kerasgpt.models.gpt2` in the graph, for prompts and for one token more of each.

    Its weights are those of `kerasgpt.export.saved_model.graph_weights`: the norms of the layers have none of
    their own, and the projections' biases are negated, under the name ``minus_bias``. For TensorFlow's
    optimizer makes of a product and an added bias one op, which takes 4 % longer for one row.

    Args:
        config: of the model.
        weights: with ``lm_head.weight``, or the token embeddings are the head.
        centred: whether all that is added to the residual stream has mean 0, so that norms subtract none.
        compiled: whether XLA compiles the graph; without it the cache is written in place.
        followers: a variable of what `kerasgpt.in_graph.followers` finds, int32 (V,), to draft from.
    """

    def __init__(
        self,
        config: GPT2Config,
        weights: Weights,
        *,
        centred: bool,
        compiled: bool = False,
        followers: Any = None,
    ) -> None:
        self.config = config
        self.followers = followers
        self._weights = weights
        self._centred = centred
        self._write = write_in_copy if compiled else write_in_place
        # One function of the graph, which holds it once however many signatures call it. Not so `read_next`:
        # in a loop the call would cost a few percent.
        self._prompts = tf.function(
            self._read_prompts, [tf.TensorSpec([None, None], tf.int64)], autograph=False
        )

    def read_prompts(self, ids: Any) -> tuple[Any, list[Any], list[Any]]:
        """Read prompts from their beginning.

        Args:
            ids: int64 (B, T), padded on the right.

        Returns:
            The residual stream float32 (B, T, D), and of each layer keys and values (B, N, T, H).
        """
        return self._prompts(ids)

    def read_next(self, ids: Any, positions: Any, cache: GraphCache) -> tuple[Any, GraphCache]:
        """Read the next tokens of each row, one or several.

        Args:
            ids: int64 (B, K).
            positions: int32 (B, K), rising by 1 along a row, below C; beyond the context they mean nothing.
            cache: what the rows hold so far; not to be used again.

        Returns:
            The residual stream float32 (B K, D), and the cache with the tokens.
        """
        num_heads, head_dim = self._heads
        width = tf.shape(ids)[1]
        where = places(positions, num_heads, cache.columns)
        visible = tf.range(cache.columns) <= positions[:, :, None]  # (B, K, C)
        bias = tf.where(visible, 0.0, _MASKED)[:, None]  # (B, 1, K, C)
        # Each token is a batch of its own against its row's keys: the products are of one row each, for which
        # the kernel is up to ten times as fast as for two, and the keys are not copied.
        parts = tf.stack([-1, 1, cache.columns, head_dim])
        by_token, by_head = tf.stack([-1, width, num_heads, head_dim]), tf.stack([-1, width, 1, head_dim])
        by_row = tf.stack([-1, num_heads, width, cache.columns])
        last = self.config.max_sequence_length - 1
        stream = self._embed(tf.reshape(ids, [-1]), tf.minimum(tf.reshape(positions, [-1]), last))
        keys, values = [], []
        for layer in range(self.config.num_layers):
            query, key, value = tf.split(self._qkv(stream, layer), 3, axis=-1)  # (B K, D) each
            keys.append(self._write(cache.keys[layer], where, tf.reshape(key, [-1, head_dim])))
            values.append(self._write(cache.values[layer], where, tf.reshape(value, [-1, head_dim])))
            query = _swapped(tf.reshape(query * self._scale(layer), by_token))  # (B, N, K, H)
            query = tf.reshape(query, by_head)
            scores = _matmul(query, tf.reshape(keys[-1], parts), transpose=True)  # (B N, K, 1, C)
            weights = _softmax(tf.reshape(scores, by_row) + bias)  # (B, N, K, C)
            weights = tf.reshape(weights, tf.stack([-1, width, 1, cache.columns]))
            context = _matmul(weights, tf.reshape(values[-1], parts))  # (B N, K, 1, H)
            context = _swapped(tf.reshape(context, tf.stack([-1, num_heads, width, head_dim])))
            stream = self._finish_block(stream, tf.reshape(context, [-1, self.config.hidden_dim]), layer)
        return stream, GraphCache(tuple(keys), tuple(values), cache.columns)

    def read_alone(self, ids: Any) -> Any:
        """Read ids (n,), each as a text of its own: the residual stream float32 (n, D)."""
        stream = self._embed(ids, tf.zeros_like(ids))
        for layer in range(self.config.num_layers):
            value = tf.split(self._qkv(stream, layer), 3, axis=-1)[2]  # all that a first token attends to
            stream = self._finish_block(stream, value, layer)
        return stream

    def final_norm(self, stream: Any) -> Any:
        """LayerNorm of the residual stream (..., D): the hidden states that a head reads."""
        stream = stream - tf.reduce_mean(stream, axis=-1, keepdims=True)
        prefix = "transformer.ln_f"
        return self._scaled(stream) * self._weights[f"{prefix}.weight"] + self._weights[f"{prefix}.bias"]

    def head(self, hidden: Any) -> Any:
        """Hidden states (n, D) -> logits float32 (n, V)."""
        name = "lm_head.weight" if "lm_head.weight" in self._weights else "transformer.wte.weight"
        return tf.matmul(hidden, self._weights[name], transpose_b=True)

    @property
    def _heads(self) -> tuple[int, int]:
        return self.config.num_heads, self.config.head_dim

    def _scale(self, layer: int) -> float:
        return self.config.attention_scale(layer)

    def _read_prompts(self, ids: Any) -> tuple[Any, list[Any], list[Any]]:
        batch, width = tf.unstack(tf.shape(ids))
        mask = tf.linalg.band_part(tf.ones(tf.stack([width, width]), tf.bool), -1, 0)  # (T, T)
        bias = tf.where(mask, 0.0, _MASKED)
        stream = self._embed(tf.reshape(ids, [-1]), tf.tile(tf.range(width), [batch]))  # (B T, D)
        keys, values = [], []
        for layer in range(self.config.num_layers):
            heads = tf.reshape(self._qkv(stream, layer), tf.stack([batch, width, 3, *self._heads]))
            query, key, value = tf.unstack(tf.transpose(heads, [2, 0, 3, 1, 4]))  # (B, N, T, H) each
            scores = tf.matmul(query * self._scale(layer), key, transpose_b=True) + bias
            context = tf.matmul(tf.nn.softmax(scores), value)  # (B, N, T, H)
            context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [-1, self.config.hidden_dim])
            stream = self._finish_block(stream, context, layer)
            keys.append(key)
            values.append(value)
        return tf.reshape(stream, tf.stack([batch, width, self.config.hidden_dim])), keys, values

    def _embed(self, ids: Any, positions: Any) -> Any:
        """Token and position embeddings, (n, D)."""
        tokens = tf.gather(self._weights["transformer.wte.weight"], ids)
        if self._centred:
            tokens = tokens - tf.reduce_mean(tokens, axis=-1, keepdims=True)
        return tokens + tf.gather(self._weights["transformer.wpe.weight"], positions)

    def _qkv(self, stream: Any, layer: int) -> Any:
        return self._linear(self._norm(stream), f"transformer.h.{layer}.attn.c_attn")

    def _finish_block(self, stream: Any, context: Any, layer: int) -> Any:
        """What comes after attention: its output, then the feed-forward layer; (n, D) each."""
        prefix = f"transformer.h.{layer}"
        stream = stream + self._linear(context, f"{prefix}.attn.c_proj")
        inner = self._linear(self._norm(stream), f"{prefix}.mlp.c_fc")
        inner = ACTIVATIONS[self.config.activation](inner)
        return stream + self._linear(inner, f"{prefix}.mlp.c_proj")

    def _linear(self, value: Any, prefix: str) -> Any:
        return tf.matmul(value, self._weights[f"{prefix}.weight"]) - self._weights[f"{prefix}.minus_bias"]

    def _norm(self, stream: Any) -> Any:
        if not self._centred:
            stream = stream - tf.reduce_mean(stream, axis=-1, keepdims=True)
        return self._scaled(stream)

    def _scaled(self, stream: Any) -> Any:
        mean_square = tf.reduce_mean(tf.square(stream), axis=-1, keepdims=True)
        return stream * tf.math.rsqrt(mean_square + self.config.layer_norm_epsilon)


def _matmul(left: Any, right: Any, transpose: bool = False) -> Any:
    # For matrices this small the kernel of this version of the op is the quicker one.
    return tf.raw_ops.BatchMatMulV3(x=left, y=right, Tout=tf.float32, adj_y=transpose)


def _swapped(heads: Any) -> Any:
    """Heads of tokens as tokens of heads, and back: (B, I, J, H) -> (B, J, I, H)."""
    return tf.transpose(heads, [0, 2, 1, 3])


def _softmax(scores: Any) -> Any:
    exponentials = tf.exp(scores - tf.reduce_max(scores, axis=-1, keepdims=True))
    return exponentials / tf.reduce_sum(exponentials, axis=-1, keepdims=True)
