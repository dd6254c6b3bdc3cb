"""The pre-norm transformer block."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerasgpt.layers.attention import MultiHeadAttention
from kerasgpt.layers.cache import Tensor
from kerasgpt.layers.feed_forward import FeedForward
from kerasgpt.layers.policies import serialized_policy


@keras.saving.register_keras_serializable(package="kerasgpt")
class TransformerBlock(keras.layers.Layer):
    """x + Attention(LN(x)), then x + FFN(LN(x)): GPT-2's block (Radford et al. 2019, section 2.3).

    Args:
        num_heads: N.
        intermediate_dim: F.
        activation: of the feed-forward layer.
        attention_scale: factor on the attention scores; None means 1/sqrt(H).
        attention_dropout: rate on the attention weights.
        dropout: rate on both residual branches.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the initial weights.
        output_initializer_range: of the two projections back to the residual stream, which GPT-2
            shrinks by 1/sqrt(2L); None means the same.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int,
        activation: str = "gelu_new",
        attention_scale: float | None = None,
        attention_dropout: float = 0.0,
        dropout: float = 0.0,
        layer_norm_epsilon: float = 1e-5,
        initializer_range: float = 0.02,
        output_initializer_range: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._arguments = {
            "num_heads": num_heads,
            "intermediate_dim": intermediate_dim,
            "activation": activation,
            "attention_scale": attention_scale,
            "attention_dropout": attention_dropout,
            "dropout": dropout,
            "layer_norm_epsilon": layer_norm_epsilon,
            "initializer_range": initializer_range,
            "output_initializer_range": output_initializer_range,
        }
        shared = {"trainable": self.trainable, "dtype": self.dtype_policy}
        branch = {
            "dropout": dropout,
            "initializer_range": initializer_range,
            "output_initializer_range": output_initializer_range,
            **shared,
        }
        self.attention_norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, name="attention_norm", **shared
        )
        self.attention = MultiHeadAttention(
            num_heads, attention_scale, attention_dropout, name="attention", **branch
        )
        self.feed_forward_norm = keras.layers.LayerNormalization(
            epsilon=layer_norm_epsilon, name="feed_forward_norm", **shared
        )
        self.feed_forward = FeedForward(intermediate_dim, activation, name="feed_forward", **branch)

    def build(self, hidden_shape: Any, *_: Any) -> None:
        """Build both branches."""
        for layer in (self.attention_norm, self.attention, self.feed_forward_norm, self.feed_forward):
            layer.build(hidden_shape)

    def call(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None,
        cache: tuple[Tensor, Tensor] | None = None,
        start: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Refine (B, T, D); arguments and second result as in `MultiHeadAttention`."""
        mixed, keys_and_values = self.attention(
            self.attention_norm(hidden), attention_mask, cache=cache, start=start, training=training
        )
        # A map of policies may give a branch another precision than the stream that it is added to.
        hidden = hidden + ops.cast(mixed, hidden.dtype)
        expanded = self.feed_forward(self.feed_forward_norm(hidden), training=training)
        return hidden + ops.cast(expanded, hidden.dtype), keys_and_values

    def compute_output_spec(self, hidden: Any, *args: Any, **kwargs: Any) -> tuple[Any, tuple[Any, Any]]:
        """Symbolic result of a call, as in `MultiHeadAttention`."""
        return self.attention.compute_output_spec(hidden, *args, **kwargs)

    def compute_output_shape(self, hidden_shape: Any, *_: Any, **__: Any) -> tuple[Any, tuple[Any, Any]]:
        """Shapes of a call without a cache."""
        return self.attention.compute_output_shape(hidden_shape)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "dtype": serialized_policy(self), **self._arguments}
