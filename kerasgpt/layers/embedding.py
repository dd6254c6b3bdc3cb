"""Token and position embeddings, and the output head that shares the token embeddings."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import keras
from keras import ops

from kerasgpt.layers.cache import Tensor
from kerasgpt.layers.dropout import Dropout
from kerasgpt.layers.policies import serialized_policy, take_own_policies


def look_up(table: Tensor, ids: Tensor) -> Tensor:
    """Take rows of a table (V, D) by ids int (...) -> (..., D), with a dense gradient.

    A lookup's gradient is sparse on TensorFlow, and AdamW updates a sparse gradient wrongly where an id
    repeats: it adds the squares g_i^2 of each occurrence in place of squaring their sum. A reshape to the
    same shape costs nothing, and its gradient is dense.
    """
    return ops.take(ops.reshape(table, table.shape), ops.cast(ids, "int32"), axis=0)


@keras.saving.register_keras_serializable(package="kerasgpt")
class TokenEmbedding(keras.layers.ReversibleEmbedding):
    """Keras's ReversibleEmbedding with a dense gradient, and a tied head that is one flat product.

    A head with a `reverse_dtype` or a `logit_soft_cap`, or of its own weights, is Keras's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_masking = True  # of hidden states, of which nobody reads it after the head

    def call(self, inputs: Tensor, reverse: bool = False) -> Tensor:
        """Embed ids (B, T) -> (B, T, D), or in reverse project (..., D) -> logits (..., V)."""
        is_plain = self.tie_weights and self.reverse_dtype is None and self.logit_soft_cap is None
        if self.quantization_mode is not None or (reverse and not is_plain):
            return super().call(inputs, reverse=reverse)
        table = ops.cast(self.embeddings, self.compute_dtype)  # (V, D)
        if not reverse:
            vectors = look_up(table, inputs)
            if self.mask_zero:
                with suppress(AttributeError):  # as Keras does where a tensor takes no attribute
                    vectors._keras_mask = ops.not_equal(inputs, 0)
            return vectors
        # As one flat product: TensorFlow then runs it, and its gradient, without copying the table,
        # where an einsum over three axes is a hundred times slower in the gradient.
        *leading, width = ops.shape(inputs)
        logits = ops.matmul(ops.reshape(inputs, (-1, width)), ops.transpose(table))
        return ops.reshape(logits, (*leading, self.input_dim))


@keras.saving.register_keras_serializable(package="kerasgpt")
class PositionEmbedding(keras.layers.Layer):
    """One learned vector per absolute position.

    Args:
        max_sequence_length: number of positions.
        hidden_dim: D.
        initializer_range: standard deviation of the initial weights.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self, max_sequence_length: int, hidden_dim: int, initializer_range: float = 0.02, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # positions may come as floats, of which half precision has few
        self.max_sequence_length = max_sequence_length
        self.hidden_dim = hidden_dim
        self.initializer_range = initializer_range

    def build(self, input_shape: Any = None) -> None:
        """Make the table (max_sequence_length, D)."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.max_sequence_length, self.hidden_dim),
            initializer=keras.initializers.RandomNormal(stddev=self.initializer_range),
        )

    def call(self, position_ids: Tensor) -> Tensor:
        """Look up positions int (B, T) or (1, T) -> (B, T, D)."""
        return look_up(ops.cast(self.embeddings, self.compute_dtype), position_ids)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """Shape of the result."""
        return (*input_shape, self.hidden_dim)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "max_sequence_length": self.max_sequence_length,
            "hidden_dim": self.hidden_dim,
            "initializer_range": self.initializer_range,
        }


@keras.saving.register_keras_serializable(package="kerasgpt")
class TokenAndPositionEmbedding(keras.layers.Layer):
    """The input encoding of GPT-2, x = wte[id] + wpe[position], and its output head.

    Args:
        vocabulary_size: V.
        max_sequence_length: number of learned positions.
        hidden_dim: D.
        dropout: rate on the sum.
        initializer_range: standard deviation of the initial weights.
        tie_word_embeddings: the head is wte transposed (Press and Wolf 2017, arXiv:1608.05859); else
            it has weights of its own.
        **kwargs: of `keras.layers.Layer`.

    >>> import numpy as np
    >>> layer = TokenAndPositionEmbedding(10, 8, 4)
    >>> hidden = layer(np.array([[1, 2, 3]]), np.array([[0, 1, 2]]))
    >>> tuple(hidden.shape), tuple(layer.logits(hidden).shape)
    ((1, 3, 4), (1, 3, 10))
    """

    def __init__(
        self,
        vocabulary_size: int,
        max_sequence_length: int,
        hidden_dim: int,
        dropout: float = 0.0,
        initializer_range: float = 0.02,
        tie_word_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # ids may, too
        self.vocabulary_size = vocabulary_size
        self.max_sequence_length = max_sequence_length
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.initializer_range = initializer_range
        self.tie_word_embeddings = tie_word_embeddings
        self.token_embedding = TokenEmbedding(
            vocabulary_size,
            hidden_dim,
            tie_weights=tie_word_embeddings,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=initializer_range),
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name="token_embedding",
        )
        self.position_embedding = PositionEmbedding(
            max_sequence_length,
            hidden_dim,
            initializer_range,
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name="position_embedding",
        )
        self.embedding_dropout = Dropout(dropout, dtype=self.dtype_policy, name="embedding_dropout")

    def build(self, token_ids_shape: Any = None, position_ids_shape: Any = None) -> None:
        """Make both tables; their shapes do not depend on the input."""
        self.token_embedding.build((None, None))
        self.position_embedding.build((None, None))
        self.embedding_dropout.build(None)  # for a path, by which a map of policies knows it
        take_own_policies(self)

    def call(
        self,
        token_ids: Tensor | None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        training: bool | None = None,
        reverse: bool = False,
    ) -> Tensor:
        """Encode ids int (B, T), or vectors (B, T, D), at positions int (B, T) or (1, T) -> (B, T, D).

        In reverse the first argument holds hidden states, and the result is their `logits`.
        """
        if reverse:
            return self.logits(token_ids)
        vectors = self.token_embedding(token_ids) if inputs_embeds is None else inputs_embeds
        positions = ops.cast(self.position_embedding(position_ids), self.compute_dtype)
        encoding = ops.cast(vectors, self.compute_dtype) + positions
        return self.embedding_dropout(encoding, training=training)

    def logits(self, hidden: Tensor) -> Tensor:
        """Project hidden states (..., D) -> logits float32 (..., V)."""
        if isinstance(hidden, keras.KerasTensor):  # a node of this layer, which owns the table
            return self(hidden, reverse=True)
        return ops.cast(self.token_embedding(hidden, reverse=True), "float32")

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Symbolic result of a call, whatever its arguments: by tracing it."""
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def compute_output_shape(self, token_ids_shape: Any, position_ids_shape: Any = None) -> tuple[Any, ...]:
        """Shape of the encoding."""
        return (*token_ids_shape[:2], self.hidden_dim)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "dtype": serialized_policy(self),
            "vocabulary_size": self.vocabulary_size,
            "max_sequence_length": self.max_sequence_length,
            "hidden_dim": self.hidden_dim,
            "dropout": self.dropout,
            "initializer_range": self.initializer_range,
            "tie_word_embeddings": self.tie_word_embeddings,
        }
