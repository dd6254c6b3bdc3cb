"""TokenMean: the mean loss per token over batches of whatever shape, as `fit` and `evaluate` report it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasgpt")
class TokenMean(keras.metrics.Mean):
    """Sum of the weighted tokens' cross-entropy in nats, divided by the sum of the weights.

    Keras's own metric adds up means of rows, so that a row of 64 tokens counts as one of 4 does.

    Args:
        **kwargs: of `keras.metrics.Mean`.

    >>> metric = TokenMean()
    >>> metric.update_state(ops.array([[3, 1]]), ops.zeros((1, 2, 4)))  # four equally probable tokens
    >>> round(float(metric.result()), 4)  # ln 4
    1.3863
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Args:
            y_true: labels, int (B, T).
            y_pred: logits, float (B, T, V).
            sample_weight: (B, T), or (B,) of whole rows; None means 1 for each.
        """
        # Cast as in Keras's losses, so that XLA computes both at once.
        labels, logits = ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        nats = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)  # (B, T)
        if sample_weight is not None:
            weights = ops.cast(sample_weight, nats.dtype)
            weights = ops.expand_dims(weights, 1) if len(weights.shape) == 1 else weights
            sample_weight = ops.ravel(ops.broadcast_to(weights, ops.shape(nats)))
        super().update_state(ops.ravel(nats), sample_weight)
