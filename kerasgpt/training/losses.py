"""The loss, its exact mean over tokens, and what that means in bits per byte."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kerasgpt.models.token_mean import TokenMean

NATS = "nats"
"""The name under which `fit` and `evaluate` report the mean loss per token."""


@keras.saving.register_keras_serializable(package="kerasgpt")
class RegularisedLoss(keras.losses.Loss):
    """(1 - s) CE(label) + s mean_v CE(v) + z log(Z)^2, with Z the denominator of the softmax.

    Label smoothing is Szegedy et al. 2016 (arXiv:1512.00567), section 7; the z-loss is PaLM's (Chowdhery et
    al. 2022, arXiv:2204.02311, section 5).

    Args:
        label_smoothing: s.
        z_loss: z.
        **kwargs: of `keras.losses.Loss`.
    """

    def __init__(self, label_smoothing: float = 0.0, z_loss: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing
        self.z_loss = z_loss

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Labels int (B, T), logits float32 (B, T, V) -> nats of each token (B, T)."""
        nats = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)  # (B, T)
        log_total = ops.logsumexp(y_pred, axis=-1)  # (B, T)
        if self.label_smoothing:
            spread = log_total - ops.mean(y_pred, axis=-1)
            nats = (1 - self.label_smoothing) * nats + self.label_smoothing * spread
        return nats + self.z_loss * ops.square(log_total)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "label_smoothing": self.label_smoothing, "z_loss": self.z_loss}


def token_loss(label_smoothing: float = 0.0, z_loss: float = 0.0) -> keras.losses.Loss:
    """Cross-entropy of the next token in nats, averaged over the tokens of a batch that have weight.

    A weight of 0 leaves a label out: padding, or the prompt before a completion.

    Args:
        label_smoothing: probability spread over the vocabulary, see `RegularisedLoss`.
        z_loss: weight of the squared logarithm of the softmax's denominator.
    """
    mean = {"reduction": "mean_with_sample_weight", "name": "loss"}
    if label_smoothing or z_loss:
        return RegularisedLoss(label_smoothing, z_loss, **mean)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, **mean)


def token_metric() -> keras.metrics.Metric:
    """The same over many batches, of whatever lengths: all weighted tokens over the sum of weights.

    Keras's own running loss is a mean of the batches' means, which is another number when batches hold
    different numbers of tokens; pass this one to `compile` among the `weighted_metrics`.
    """
    return TokenMean(name=NATS)


def bits_per_byte(nats_per_token: float, num_tokens: int, num_bytes: int) -> float:
    """The size of a text compressed by the model, relative to its own: comparable between vocabularies.

    Args:
        nats_per_token: mean loss.
        num_tokens: how many tokens it is the mean of.
        num_bytes: of the same text, in UTF-8.

    >>> round(bits_per_byte(math.log(256), 10, 10), 9)
    8.0
    """
    return nats_per_token * num_tokens / num_bytes / math.log(2)


def perplexity(nats_per_token: float) -> float:
    """Exp of the mean loss; infinite where that overflows."""
    try:
        return math.exp(nats_per_token)
    except OverflowError:
        return math.inf
