"""GPT2 and GPT2CausalLM: one forward pass for training, prefill and decode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import keras
from keras import ops

from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError, known_fields
from kerasgpt.layers.attention import attention_mask_of
from kerasgpt.layers.block import TransformerBlock
from kerasgpt.layers.cache import KVCache, Tensor, empty_cache, known_number
from kerasgpt.layers.embedding import TokenAndPositionEmbedding
from kerasgpt.layers.fused_attention import has_fused_attention
from kerasgpt.layers.policies import serialized_policy
from kerasgpt.layers.trainability import inner_flags
from kerasgpt.models.causal_lm import CausalLM, remade


def _as_config(config: GPT2Config | Mapping[str, Any]) -> GPT2Config:
    if isinstance(config, GPT2Config):
        return config
    if not isinstance(config, Mapping):
        raise UsageError(f"a GPT-2 is made of a GPT2Config, not of a {type(config).__name__}")
    return GPT2Config(**known_fields(GPT2Config, config))


@keras.saving.register_keras_serializable(package="kerasgpt")
class GPT2(keras.Model):
    """The GPT-2 stack from token ids to hidden states (Radford et al. 2019).

    Args:
        config: a GPT2Config, or its `to_dict`.
        **kwargs: of `keras.Model`.

    >>> import numpy as np
    >>> stack = GPT2(GPT2Config(vocabulary_size=16, num_layers=1, num_heads=2, hidden_dim=8))
    >>> tuple(stack(np.array([[3, 1, 4]])).shape)
    (1, 3, 8)
    """

    def __init__(self, config: GPT2Config | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.autocast = False  # as in CausalLM
        self.config = config = _as_config(config)
        self.embedding = TokenAndPositionEmbedding(
            config.vocabulary_size,
            config.max_sequence_length,
            config.hidden_dim,
            config.embedding_dropout,
            config.initializer_range,
            config.tie_word_embeddings,
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name="embedding",
        )
        self.blocks = [self._make_block(index) for index in range(config.num_layers)]
        self.final_norm = keras.layers.LayerNormalization(
            epsilon=config.layer_norm_epsilon,
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name="final_norm",
        )

    def _make_block(self, index: int) -> TransformerBlock:
        config = self.config
        return TransformerBlock(
            config.num_heads,
            config.feed_forward_dim,
            config.activation,
            attention_scale=config.attention_scale(index),
            attention_dropout=config.attention_dropout,
            dropout=config.dropout,
            layer_norm_epsilon=config.layer_norm_epsilon,
            initializer_range=config.initializer_range,
            output_initializer_range=config.initializer_range / (2 * config.num_layers) ** 0.5,
            trainable=self.trainable,
            dtype=self.dtype_policy,
            name=f"block_{index}",
        )

    def build(self, input_shape: Any = None) -> None:
        """Make all weights that are not made yet; their shapes follow from the configuration alone."""
        hidden_shape = (None, None, self.config.hidden_dim)
        for layer in (self.embedding, *self.blocks, self.final_norm):
            if not layer.built:
                layer.build(hidden_shape)
        self.built: bool = True

    def call(
        self,
        token_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KVCache | None = None,
        training: bool | None = None,
        segment_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        reverse: bool = False,
    ) -> Tensor | tuple[Tensor, KVCache]:
        """Encode tokens, each in the light of those before it.

        Args:
            token_ids: int (B, T); or None, and there are `inputs_embeds`.
            attention_mask: (B, S) with 0 at padding, S being T, or with a cache its capacity;
                None means no padding.
            position_ids: int (B, T); None means T positions from the first free column on.
            cache: what was read before; None means nothing, and no cache is returned.
            training: whether dropout is active.
            segment_ids: int (B, T), the number of each token's document: tokens see those of their own
                document alone. Without a cache only; None means that all are of one.
            inputs_embeds: (B, T, D) in place of the tokens' vectors: of another encoder, or trained
                themselves. Positions are added to them as to tokens.
            reverse: whether the first argument holds hidden states (..., D), of which only logits are
                made, as by Keras's ReversibleEmbedding: so a functional model has the head of this stack.

        Returns:
            Hidden states (B, T, D) after the final norm, and with a cache also the cache that
            holds the T new positions. In reverse logits float32 (..., V).

        Raises:
            UsageError: there are both token ids and vectors, or neither; or no tokens, or more than the
                model has positions or the cache columns (where the numbers are known: while a graph is
                made they may not be, and positions that are given are believed).
        """
        if reverse:
            return self.embedding.logits(token_ids)
        if (token_ids is None) == (inputs_embeds is None):
            raise UsageError("a call reads token_ids or inputs_embeds: give the one or the other")
        reads = inputs_embeds if token_ids is None else token_ids
        num_queries = ops.shape(reads)[1]
        if cache is not None:
            cache = KVCache(*cache)  # from a functional model's file it comes as a list
        if str(getattr(reads, "device", "")) != "meta":  # of torch, where Keras asks for a shape as if of 83
            self._refuse_misfit(num_queries, cache, position_ids is not None)
        start = 0 if cache is None else cache.length
        num_keys = num_queries if cache is None else cache.capacity
        if position_ids is None:
            position_ids = ops.expand_dims(start + ops.arange(num_queries, dtype="int32"), 0)
        mask = None  # of what is merely earlier, which a fused kernel knows by itself
        is_plain = attention_mask is None and segment_ids is None and cache is None
        if not (is_plain and has_fused_attention(self.compute_dtype, self.config.head_dim)):
            mask = attention_mask_of(
                attention_mask, num_queries, num_keys, start, segment_ids
            )  # (B or 1, 1, T, S)
        hidden = self.embedding(
            token_ids, position_ids, inputs_embeds=inputs_embeds, training=training
        )  # (B, T, D)
        filled = []
        for index, block in enumerate(self.blocks):
            layer_cache = None if cache is None else (cache.keys[index], cache.values[index])
            hidden, keys_and_values = block(
                hidden, mask, cache=layer_cache, start=None if cache is None else start, training=training
            )
            filled.append(keys_and_values)
        hidden = self.final_norm(hidden)
        if cache is None:
            return hidden
        keys, values = zip(*filled, strict=True)
        return hidden, KVCache(keys, values, cache.length + num_queries)

    def _refuse_misfit(self, num_tokens: Any, cache: KVCache | None, has_positions: bool) -> None:
        """Refuse what has no place: XLA would take the last one for all beyond it, JAX no number."""
        most = self.config.max_sequence_length
        filled = 0 if cache is None else known_number(cache.length) or 0
        if not isinstance(num_tokens, int):
            return
        if cache is not None and (room := known_number(cache.capacity)) and filled + num_tokens > room:
            raise UsageError(
                f"{num_tokens} tokens for a cache of {room} columns, {filled} of them filled: make one with"
                " more, or read fewer"
            )
        if not has_positions and not 1 <= num_tokens <= most - filled:
            after = f" after {filled}" if filled else ""
            raise UsageError(
                f"texts of {num_tokens} tokens{after}: this model reads 1 to {most}; cut them, or make a"
                " model with a longer max_sequence_length"
            )

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Symbolic result of a call, whatever its arguments: by tracing it."""
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def compute_output_shape(self, token_ids_shape: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
        """Shape of the hidden states."""
        return (*token_ids_shape[:2], self.config.hidden_dim)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """As in CausalLM."""
        if config:
            self.build()

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """As in CausalLM."""
        return remade(super().from_config, config, custom_objects)

    def get_config(self) -> dict[str, Any]:
        """As in CausalLM."""
        policy = {"dtype": serialized_policy(self), "config": self.config.to_dict()}
        return {**super().get_config(), **policy, **inner_flags(self)}


@keras.saving.register_keras_serializable(package="kerasgpt")
class GPT2CausalLM(CausalLM):
    """GPT-2 with its language-model head: the probability of each next token.

    An ordinary Keras model: `compile`, `fit` on (ids, next ids), `evaluate`, `save`, `export`. Keras knows
    the class of a saved model in a process that has imported it: ``from kerasgpt import GPT2CausalLM``.

    Args:
        config: a GPT2Config, or its `to_dict`.
        **kwargs: of `keras.Model`.

    >>> import numpy as np
    >>> model = GPT2CausalLM(GPT2Config(vocabulary_size=16, num_layers=1, num_heads=2, hidden_dim=8))
    >>> tuple(model(np.array([[3, 1, 4]])).shape)
    (1, 3, 16)
    """

    model_type: ClassVar[str] = "gpt2"

    def __init__(self, config: GPT2Config | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = _as_config(config)
        self.backbone = GPT2(
            self.config, trainable=self.trainable, dtype=self.dtype_policy, name="transformer"
        )

    def build(self, input_shape: Any = None) -> None:
        """Make all weights; their shapes follow from the configuration alone."""
        self.backbone.build()
        self.built: bool = True

    def call(
        self,
        token_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KVCache | None = None,
        training: bool | None = None,
        segment_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, KVCache]:
        """Predict the token after each position; arguments as in `GPT2.call`.

        `fit` hands over several inputs as one: a dict in place of `token_ids` holds arguments by name.

        Returns:
            Logits float32 (B, T, V), and with a cache also the new cache.
        """
        if isinstance(token_ids, Mapping):
            return self.call(**token_ids, training=training)
        result = self.backbone(
            token_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=cache,
            training=training,
            segment_ids=segment_ids,
            inputs_embeds=inputs_embeds,
        )
        if cache is None:
            return self.head(result)
        hidden, cache = result
        return self.head(hidden), cache

    def head(self, hidden: Tensor) -> Tensor:
        """Project hidden states (..., D) -> logits float32 (..., V)."""
        if isinstance(
            hidden, keras.KerasTensor
        ):  # a node of the backbone: its file has no other layer for it
            return self.backbone(hidden, reverse=True)
        return self.backbone.embedding.logits(hidden)

    def make_cache(self, batch_size: Any, capacity: Any) -> KVCache:
        """Make an empty cache for so many rows and columns."""
        return empty_cache(
            num_layers=self.config.num_layers,
            batch_size=batch_size,
            num_heads=self.config.num_heads,
            capacity=capacity,
            head_dim=self.config.head_dim,
            dtype=self.compute_dtype,
        )
