"""The position-wise feed-forward layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasgpt.config import ACTIVATIONS
from kerasgpt.errors import unknown_name
from kerasgpt.layers.cache import Tensor
from kerasgpt.layers.dropout import Dropout
from kerasgpt.layers.policies import serialized_policy, take_own_policies


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """Find an activation by the name it has in a GPT-2 configuration.

    ``gelu_new`` is 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), ``gelu`` is x Phi(x) (Hendrycks and
    Gimpel 2016, arXiv:1606.08415); ``relu``, ``silu`` and ``tanh`` are themselves.

    Raises:
        UsageError: no such activation.
    """
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "gelu_new": gelu_new,
        "gelu": lambda x: ops.gelu(x, approximate=False),
        "relu": ops.relu,
        "silu": ops.silu,
        "tanh": ops.tanh,
    }
    if name not in functions:
        raise unknown_name("activation", name, ACTIVATIONS)
    return functions[name]


def gelu_new(x: Tensor) -> Tensor:
    """0.5 x (1 + tanh(u)) as x sigmoid(2 u), without a cube by a power: fewer passes over x, and back."""
    return x * ops.sigmoid(x * (math.sqrt(8 / math.pi) + math.sqrt(8 / math.pi) * 0.044715 * x * x))


@keras.saving.register_keras_serializable(package="kerasgpt")
class FeedForward(keras.layers.Layer):
    """FFN(x) = act(x W_1 + b_1) W_2 + b_2 (Vaswani et al. 2017, eq. 2).

    Args:
        intermediate_dim: F, width inside.
        activation: see `activation_function`.
        dropout: rate on the output.
        initializer_range: standard deviation of W_1.
        output_initializer_range: standard deviation of W_2; None means the same.
        **kwargs: of `keras.layers.Layer`.

    >>> import numpy as np
    >>> tuple(FeedForward(16)(np.zeros((1, 3, 4), "float32")).shape)
    (1, 3, 4)
    """

    def __init__(
        self,
        intermediate_dim: int,
        activation: str = "gelu_new",
        dropout: float = 0.0,
        initializer_range: float = 0.02,
        output_initializer_range: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.intermediate_dim = intermediate_dim
        self.activation = activation
        self.dropout = dropout
        self.initializer_range = initializer_range
        self.output_initializer_range = output_initializer_range
        self.activate = activation_function(activation)
        self.output_dropout = Dropout(dropout, dtype=self.dtype_policy, name="output_dropout")

    def build(self, input_shape: Any) -> None:
        """Make W_1 (D, F) and W_2 (F, D)."""
        width = input_shape[-1]
        self.expand = keras.layers.Dense(
            self.intermediate_dim,
            kernel_initializer=keras.initializers.RandomNormal(stddev=self.initializer_range),
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name="expand",
        )
        self.expand.build(input_shape)
        stddev = self.output_initializer_range
        if stddev is None:
            stddev = self.initializer_range
        self.contract = keras.layers.Dense(
            width,
            kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name="contract",
        )
        self.contract.build((*input_shape[:-1], self.intermediate_dim))
        self.output_dropout.build(None)  # for a path, by which a map of policies knows it
        take_own_policies(self)

    def call(self, hidden: Tensor, training: bool | None = None) -> Tensor:
        """Transform each position on its own: (B, T, D) -> (B, T, D)."""
        inner = self.activate(self.expand(hidden))  # (B, T, F)
        return self.output_dropout(self.contract(inner), training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the result."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "dtype": serialized_policy(self),
            "intermediate_dim": self.intermediate_dim,
            "activation": self.activation,
            "dropout": self.dropout,
            "initializer_range": self.initializer_range,
            "output_initializer_range": self.output_initializer_range,
        }
