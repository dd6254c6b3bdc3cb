"""LSTMCausalLM and GRUCausalLM: language models, the state an argument of the call and a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import keras
from keras import ops

from kerasgpt.errors import UsageError, known_fields
from kerasgpt.layers.cache import Tensor
from kerasgpt.layers.embedding import TokenEmbedding
from kerasgpt.layers.policies import take_own_policies
from kerasgpt.models.causal_lm import CausalLM
from kerasgpt.recurrent_config import RecurrentConfig

State: TypeAlias = tuple[tuple[Tensor, ...], ...]
"""What L layers hand on from token to token: hidden (B, H), and of an LSTM also cell (B, H)."""

LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


class RecurrentCausalLM(CausalLM):
    """Embedding, L recurrent layers with dropout between, and a head: the probability of each next token.

    An ordinary Keras model: `compile`, `fit` on (ids, next ids), `evaluate`, `save`, `export`. The layers are
    Keras's own, LSTM (Hochreiter and Schmidhuber 1997; gates i, f, c, o) and GRU (Cho et al. 2014,
    arXiv:1406.1078; gates z, r, h, the reset gate after the product).

    Args:
        config: a RecurrentConfig of the class's cell, or its `to_dict`.
        **kwargs: of `keras.Model`.
    """

    def __init__(self, config: RecurrentConfig | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(config, RecurrentConfig):
            if not isinstance(config, Mapping):
                raise UsageError(
                    f"a recurrent model is made of a RecurrentConfig, not of a {type(config).__name__}"
                )
            config = RecurrentConfig(**known_fields(RecurrentConfig, config))
        if config.cell != self.model_type:
            raise UsageError(f"cell {config.cell}: a {type(self).__name__} has the cell {self.model_type}")
        self.config = config
        policy = self.dtype_policy
        self.token_embedding = TokenEmbedding(
            config.vocabulary_size,
            config.embedding_width,
            tie_weights=config.tie_word_embeddings,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=config.initializer_range),
            trainable=self.trainable,
            dtype=policy,
            name="token_embedding",
        )
        self.embedding_dropout = keras.layers.Dropout(config.embedding_dropout, dtype=policy)
        self.recurrent_layers = [self._make_layer(index) for index in range(config.num_layers)]
        self.dropouts = [keras.layers.Dropout(config.dropout, dtype=policy) for _ in self.recurrent_layers]
        self.projection = (
            keras.layers.Dense(
                config.embedding_width, trainable=self.trainable, dtype=policy, name="projection"
            )
            if config.has_projection
            else None
        )

    def _make_layer(self, index: int) -> keras.layers.Layer:
        return LAYERS[self.config.cell](
            self.config.hidden_dim,
            return_sequences=True,
            return_state=True,
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name=f"layer_{index}",
        )

    def build(self, input_shape: Any = None) -> None:
        """Make all weights; their shapes follow from the configuration alone."""
        config = self.config
        if not self.token_embedding.built:
            self.token_embedding.build((None, None))
        for index, layer in enumerate(self.recurrent_layers):
            if not layer.built:
                layer.build((None, None, config.input_dim(index)))
        if self.projection is not None and not self.projection.built:
            self.projection.build((None, None, config.hidden_dim))
        take_own_policies(self)
        self.built: bool = True

    def call(
        self,
        token_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: State | None = None,
        training: bool | None = None,
    ) -> Tensor | tuple[Tensor, State]:
        """Predict the token after each position.

        `fit` hands over several inputs as one: a dict in place of `token_ids` holds arguments by name.

        Args:
            token_ids: int (B, T).
            attention_mask: (B, T) with 0 at padding, over which the state passes unchanged; None means none.
            cache: the state after what was read before; None means nothing, and no state is returned.
            training: whether dropout is active.

        Returns:
            Logits float32 (B, T, V), and with a cache also the state after each row's last token.
        """
        if isinstance(token_ids, Mapping):
            return self.call(**token_ids, training=training)
        hidden, state = self.read(token_ids, attention_mask, cache, training)
        logits = self.head(hidden)
        return logits if cache is None else (logits, state)

    def read(
        self,
        token_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: State | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, State]:
        """Read tokens: the last layer's hidden states (B, T, H), and the state; arguments as in `call`."""
        hidden = self.embedding_dropout(self.token_embedding(token_ids), training=training)  # (B, T, E)
        mask = None if attention_mask is None else ops.cast(attention_mask, "bool")
        states = []
        for index, layer in enumerate(self.recurrent_layers):
            start = None if cache is None else list(cache[index])
            hidden, *state = layer(hidden, initial_state=start, mask=mask, training=training)  # (B, T, H)
            hidden = self.dropouts[index](hidden, training=training)
            states.append(tuple(state))
        return hidden, tuple(states)

    def head(self, hidden: Tensor) -> Tensor:
        """Project hidden states (..., H) -> logits float32 (..., V)."""
        if self.projection is not None:
            hidden = self.projection(hidden)  # (..., E)
        return ops.cast(self.token_embedding(hidden, reverse=True), "float32")

    def make_cache(self, batch_size: Any) -> State:
        """The state of so many rows that have read nothing."""
        shape = (batch_size, self.config.hidden_dim)
        layer = tuple(ops.zeros(shape, dtype=self.compute_dtype) for _ in self.config.states)
        return (layer,) * self.config.num_layers


@keras.saving.register_keras_serializable(package="kerasgpt")
class LSTMCausalLM(RecurrentCausalLM):
    """A language model of LSTM layers; see `RecurrentCausalLM`.

    >>> import numpy as np
    >>> model = LSTMCausalLM(RecurrentConfig("lstm", vocabulary_size=16, num_layers=1, hidden_dim=8))
    >>> tuple(model(np.array([[3, 1, 4]])).shape)
    (1, 3, 16)
    """

    model_type: ClassVar[str] = "lstm"


@keras.saving.register_keras_serializable(package="kerasgpt")
class GRUCausalLM(RecurrentCausalLM):
    """A language model of GRU layers; see `RecurrentCausalLM`."""

    model_type: ClassVar[str] = "gru"
