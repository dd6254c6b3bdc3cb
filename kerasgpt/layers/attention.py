"""Causal multi-head self-attention, with one fused projection to queries, keys and values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgpt.errors import UsageError
from kerasgpt.layers.cache import Tensor, write_columns
from kerasgpt.layers.dropout import Dropout
from kerasgpt.layers.fused_attention import fused_causal_attention
from kerasgpt.layers.policies import serialized_policy, take_own_policies

QUERY_BLOCK = 128
"""Queries attended together: fewer leave out more of what is hidden, in products too small to be fast."""


def attention_mask_of(
    padding_mask: Tensor | None,
    num_queries: Any,
    num_keys: Any,
    start: Any,
    segment_ids: Tensor | None = None,
) -> Tensor:
    """Say which columns each query may see: its own and earlier ones of its segment that are no padding.

    Args:
        padding_mask: (B, S) with 0 at padding, or None for no padding.
        num_queries: T.
        num_keys: S.
        start: column of the first query.
        segment_ids: int (B, T), the same where positions belong together, with T = S; None means that
            all do.

    Returns:
        bool (B or 1, 1, T, S).
    """
    columns = ops.arange(num_keys, dtype="int32")
    queries = start + ops.arange(num_queries, dtype="int32")
    causal = ops.expand_dims(columns, 0) <= ops.expand_dims(queries, 1)  # (T, S)
    mask = ops.expand_dims(causal, (0, 1))  # (1, 1, T, S)
    if segment_ids is not None:
        together = ops.expand_dims(segment_ids, 2) == ops.expand_dims(segment_ids, 1)  # (B, T, S)
        mask = ops.logical_and(mask, ops.expand_dims(together, 1))
    if padding_mask is None:
        return mask
    return ops.logical_and(mask, ops.expand_dims(ops.cast(padding_mask, "bool"), (1, 2)))


def scaled_dot_product_weights(query: Tensor, key: Tensor, mask: Tensor, scale: float) -> Tensor:
    """softmax(scale * Q K^T) over the columns that `mask` allows (Vaswani et al. 2017, eq. 1).

    Args:
        query: (B, N, T, H).
        key: (B, N, S, H).
        mask: bool, broadcastable to (B, N, T, S).
        scale: factor on the scores, 1/sqrt(H) in GPT-2.

    Returns:
        float32 (B, N, T, S); a row that may see nothing gets finite numbers of no meaning.
    """
    scores = ops.matmul(query * ops.cast(scale, query.dtype), ops.transpose(key, (0, 1, 3, 2)))
    # float32 whatever the policy: a half-precision softmax over many columns loses the small ones.
    # To add what hides costs a pass over the scores; to choose, several, and one more in the gradient. It is
    # subtracted, since TensorFlow 2.21 fuses product and sum, wrongly where a graph has several sizes.
    hidden = ops.where(mask, np.float32(0), np.float32(1e9))  # plain numbers would become Keras's floatx
    scores = ops.cast(scores, "float32") - hidden  # (B, N, T, S)
    return ops.softmax(scores, axis=-1)


def num_query_blocks(num_queries: int | None) -> int:
    """Into how many blocks to divide the queries of a whole text, so that most of what is hidden is left out.

    With n blocks (n - 1) / 2n of the scores, all of them hidden, are never computed.

    Args:
        num_queries: T, or None where it is not known while a graph is made.

    >>> num_query_blocks(64), num_query_blocks(256), num_query_blocks(1024), num_query_blocks(250)
    (1, 2, 8, 1)
    """
    if num_queries is None or num_queries % QUERY_BLOCK:
        return 1
    return num_queries // QUERY_BLOCK


@keras.saving.register_keras_serializable(package="kerasgpt")
class MultiHeadAttention(keras.layers.Layer):
    """Attention(x) = concat_n(softmax(scale Q_n K_n^T) V_n) W_o, each position seeing only earlier ones.

    Vaswani et al. 2017, arXiv:1706.03762, section 3.2, with GPT-2's fused W_qkv and biases everywhere.

    Args:
        num_heads: N; must divide the width of the input.
        attention_scale: factor on the scores; None means 1/sqrt(H).
        attention_dropout: rate on the attention weights.
        dropout: rate on the output.
        initializer_range: standard deviation of W_qkv.
        output_initializer_range: standard deviation of W_o; None means the same.
        **kwargs: of `keras.layers.Layer`.

    >>> import numpy as np
    >>> layer = MultiHeadAttention(num_heads=2)
    >>> mask = attention_mask_of(None, 3, 3, 0)
    >>> tuple(layer(np.zeros((1, 3, 8), "float32"), mask)[0].shape)
    (1, 3, 8)
    """

    def __init__(
        self,
        num_heads: int,
        attention_scale: float | None = None,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
        initializer_range: float = 0.02,
        output_initializer_range: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.attention_scale = attention_scale
        self.attention_dropout = attention_dropout
        self.dropout = dropout
        self.initializer_range = initializer_range
        self.output_initializer_range = output_initializer_range
        self.weights_dropout = Dropout(attention_dropout, dtype=self.dtype_policy, name="weights_dropout")
        self.output_dropout = Dropout(dropout, dtype=self.dtype_policy, name="output_dropout")

    def build(self, hidden_shape: Any, *_: Any) -> None:
        """Make W_qkv (D, 3D) and W_o (D, D)."""
        width = hidden_shape[-1]
        if width % self.num_heads:
            raise UsageError(
                f"a width of {width} is not a multiple of num_heads {self.num_heads}: change one"
            )
        self.head_dim = width // self.num_heads
        self.qkv = keras.layers.Dense(
            3 * width,
            kernel_initializer=keras.initializers.RandomNormal(stddev=self.initializer_range),
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name="qkv",
        )
        self.qkv.build(hidden_shape)
        stddev = self.output_initializer_range
        if stddev is None:
            stddev = self.initializer_range
        self.output_projection = keras.layers.Dense(
            width,
            kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name="output",
        )
        self.output_projection.build(hidden_shape)
        for dropout in (self.weights_dropout, self.output_dropout):
            dropout.build(None)  # for a path, by which a map of policies knows it
        take_own_policies(self)

    def call(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None,
        cache: tuple[Tensor, Tensor] | None = None,
        start: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Mix each position with the earlier ones.

        Args:
            hidden: (B, T, D).
            attention_mask: bool (B or 1, 1, T, S), see `attention_mask_of`; None lets each position see
                itself and all earlier ones, in one fused kernel unless weights are dropped out or there is a
                cache. What it shows of later positions stays hidden, but with a cache, whose columns it
                alone knows.
            cache: the layer's keys and values (B, N, S, H), to be filled from column `start` on.
            start: int32 scalar, columns already filled; needed with a cache.
            training: whether dropout is active.

        Returns:
            (B, T, D), and the keys and values (B, N, S, H) that were attended to.
        """
        if attention_mask is None and cache is not None:
            attention_mask = attention_mask_of(None, ops.shape(hidden)[1], ops.shape(cache[0])[2], start)
        if attention_mask is None and not (training and self.attention_dropout):
            mixed, keys_and_values = self._attend_fused(hidden)
        else:
            mixed, keys_and_values = self._attend_masked(hidden, attention_mask, cache, start, training)
        mixed = ops.reshape(mixed, ops.shape(hidden))  # (B, T, D)
        return self.output_dropout(self.output_projection(mixed), training=training), keys_and_values

    def _attend_fused(self, hidden: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Attention over all earlier positions, (B, T, N, H), and keys and values (B, N, T, H)."""
        query, key, value = ops.unstack(self._heads(hidden), 3, axis=2)  # (B, T, N, H)
        mixed = fused_causal_attention(query, key, value, self._scale)
        return mixed, (ops.transpose(key, (0, 2, 1, 3)), ops.transpose(value, (0, 2, 1, 3)))

    def _attend_masked(
        self,
        hidden: Tensor,
        mask: Tensor | None,
        cache: tuple[Tensor, Tensor] | None,
        start: Tensor | None,
        training: bool | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Attention over what a mask shows, (B, T, N, H), and keys and values (B, N, S, H)."""
        heads = ops.transpose(self._heads(hidden), (2, 0, 3, 1, 4))  # (3, B, N, T, H)
        query, key, value = ops.unstack(heads, 3)  # the gradient of three slices is three of this size
        if cache is None:
            length = ops.shape(hidden)[1]
            earlier = attention_mask_of(None, length, length, 0)  # (1, 1, T, T)
            mask = earlier if mask is None else ops.logical_and(mask, earlier)
        else:
            key = write_columns(cache[0], key, start)
            value = write_columns(cache[1], value, start)  # (B, N, S, H)
        blocks = 1 if cache is not None else num_query_blocks(query.shape[2])
        mixed = self._attend_in_blocks(query, key, value, mask, blocks, training)  # (B, N, T, H)
        return ops.transpose(mixed, (0, 2, 1, 3)), (key, value)

    def _attend_in_blocks(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, num_blocks: int, training: bool | None
    ) -> Tensor:
        """Attention of a block of queries after the other, each over the columns up to its last query."""
        if num_blocks == 1:
            return self._attend(query, key, value, mask, training)
        size, mixed = query.shape[2] // num_blocks, []
        for number, rows in enumerate(ops.split(query, num_blocks, axis=2)):  # (B, N, T / num_blocks, H)
            first, end = number * size, (number + 1) * size
            seen = key[:, :, :end], value[:, :, :end], mask[:, :, first:end, :end]
            mixed.append(self._attend(rows, *seen, training))
        return ops.concatenate(mixed, axis=2)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, training: bool | None
    ) -> Tensor:
        weights = scaled_dot_product_weights(query, key, mask, self._scale)
        weights = self.weights_dropout(ops.cast(weights, self.compute_dtype), training=training)
        return ops.matmul(ops.cast(weights, value.dtype), value)

    def _heads(self, hidden: Tensor) -> Tensor:
        """Queries, keys and values of all heads, (B, T, 3, N, H)."""
        batch, length, _ = ops.shape(hidden)
        return ops.reshape(self.qkv(hidden), (batch, length, 3, self.num_heads, self.head_dim))

    @property
    def _scale(self) -> float:
        return self.head_dim**-0.5 if self.attention_scale is None else self.attention_scale

    def compute_output_spec(
        self, hidden: Any, attention_mask: Any = None, cache: Any = None, *_: Any, **__: Any
    ) -> tuple[Any, tuple[Any, Any]]:
        """Symbolic result of a call; a cache that is given keeps its shape and dtype."""
        shape, (keys, values) = self.compute_output_shape(hidden.shape)
        heads = (keras.KerasTensor(each, dtype=self.compute_dtype) for each in (keys, values))
        if cache is not None:
            heads = (keras.KerasTensor(each.shape, dtype=each.dtype) for each in cache)
        return keras.KerasTensor(shape, dtype=self.compute_dtype), tuple(heads)

    def compute_output_shape(self, hidden_shape: Any, *_: Any, **__: Any) -> tuple[Any, tuple[Any, Any]]:
        """Shapes of a call without a cache."""
        batch, length, width = hidden_shape
        heads = (batch, self.num_heads, length, width // self.num_heads)
        return tuple(hidden_shape), (heads, heads)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "dtype": serialized_policy(self),
            "num_heads": self.num_heads,
            "attention_scale": self.attention_scale,
            "attention_dropout": self.attention_dropout,
            "dropout": self.dropout,
            "initializer_range": self.initializer_range,
            "output_initializer_range": self.output_initializer_range,
        }
