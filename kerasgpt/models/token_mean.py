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
        """Add a batch: labels int (B, T), logits float32 (B, T, V), weights (B, T); None means 1 for each."""
        y_true = ops.cast(y_true, y_pred.dtype)  # as Keras's losses do, so that XLA computes both at once
        nats = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)  # (B, T)
        if sample_weight is not None:
            sample_weight = ops.ravel(ops.broadcast_to(ops.cast(sample_weight, nats.dtype), ops.shape(nats)))
        super().update_state(ops.ravel(nats), sample_weight)
