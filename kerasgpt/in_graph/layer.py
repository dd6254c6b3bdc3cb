"""The tokenizer as a Keras layer: strings in, ids out, in a user's own model."""

from __future__ import annotations

from typing import Any, Self

import keras
import tensorflow as tf

from kerasgpt.errors import UsageError
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.tokenizer.bpe import Tokenizer


@keras.saving.register_keras_serializable(package="kerasgpt")
class TokenizerLayer(keras.layers.Layer):
    """text -> ids as a layer; needs Keras on TensorFlow, and is saved and exported with the model.

    Args:
        tokenizer: its vocabulary becomes part of the layer, and of its config.
        sequence_length: T; longer texts are cut, shorter ones filled with ``<|endoftext|>``. None gives
            ragged rows.
        **kwargs: of a Keras layer.

    Raises:
        UsageError: `sequence_length` is below 1.

    >>> import tensorflow as tf
    >>> layer = TokenizerLayer(Tokenizer.from_preset("gpt2"), sequence_length=3)
    >>> ids = layer(tf.constant(["Hello world", "Hello"]))
    >>> ids.numpy().tolist()
    [[15496, 995, 50256], [15496, 50256, 50256]]
    >>> layer.padding_mask(ids).numpy().tolist()
    [[True, True, True], [True, True, False]]
    """

    def __init__(self, tokenizer: Tokenizer, sequence_length: int | None = None, **kwargs: Any) -> None:
        if sequence_length is not None and sequence_length < 1:
            raise UsageError(f"sequence_length is {sequence_length}: give 1 or more, or None")
        super().__init__(**kwargs)
        self.tokenizer = tokenizer
        self.sequence_length = sequence_length
        self.graph = InGraphTokenizer.from_tokenizer(tokenizer)
        self.supports_jit = False  # XLA knows no strings
        self.built = True

    @property
    def compute_dtype(self) -> str:
        """What the layer reads, whatever the policy: so Keras makes no numbers of the texts."""
        return "string"

    @property
    def variable_dtype(self) -> str:
        """The same, as Keras's own layers of strings have it; there are no variables."""
        return "string"

    def call(self, texts: Any) -> Any:
        """Encode string (B,) or (B, 1) -> int64 (B, T), or ragged (B, None) without a sequence length."""
        if isinstance(texts, tf.Tensor) and texts.shape.rank is None:  # as out of tf.py_function
            texts = tf.ensure_shape(texts, [None])
        ids = self.graph.encode(tf.reshape(texts, [-1]) if self._has_columns(texts) else texts)
        if self.sequence_length is None:
            return ids
        return ids.to_tensor(self.tokenizer.end_of_text_id, shape=[None, self.sequence_length])

    def padding_mask(self, ids: Any) -> Any:
        """Tell which of the layer's ids are to be read: those of the text, and the end of text after it.

        Ids of a text never are ``<|endoftext|>``, so that the first of them is where the padding begins. It
        is read too, and so an empty text has something to take a mean over.

        Args:
            ids: int (B, T), as the layer gives them; a Keras tensor in a model that is being put together.

        Returns:
            bool (B, T), such as a GPT2's `attention_mask`, and the `mask` of a pooling layer.
        """
        inside = keras.ops.not_equal(ids[:, :-1], self.tokenizer.end_of_text_id)
        return keras.ops.concatenate([keras.ops.ones_like(ids[:, :1], "bool"), inside], axis=1)

    def _has_columns(self, texts: Any) -> bool:
        """Whether texts come as (B, 1), as columns of data sets do; no others but (B,) are taken."""
        shape = tuple(getattr(texts, "shape", (None,)))
        if len(shape) == 2 and shape[1] == 1:
            return True
        if len(shape) != 1:
            raise UsageError(f"texts of shape {shape}: give a text a row, keras.Input((), dtype='string')")
        return False

    def compute_output_spec(self, texts: Any) -> Any:
        """Tell the shape of the ids without running anything."""
        self._has_columns(texts)
        return keras.KerasTensor((texts.shape[0], self.sequence_length), dtype="int64")

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument; the tokenizer as the parts it can be made of."""
        return {
            **super().get_config(),
            "tokenizer": {
                "vocabulary": self.tokenizer.vocabulary,
                "merges": [list(pair) for pair in self.tokenizer.merges],
                "special_tokens": list(self.tokenizer.special_tokens),
                "end_of_text": self.tokenizer.end_of_text,
                "roles": self.tokenizer.roles,
            },
            "sequence_length": self.sequence_length,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make the layer that `get_config` described."""
        return cls(**{**config, "tokenizer": Tokenizer(**config["tokenizer"])})
