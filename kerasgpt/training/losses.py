"""The loss, its exact mean over tokens, and what that means in bits per byte."""

from __future__ import annotations

import math

import keras

NATS = "nats"
"""The name under which `fit` and `evaluate` report the mean loss per token."""


def token_loss() -> keras.losses.Loss:
    """Cross-entropy of the next token in nats, averaged over the tokens of a batch that have weight."""
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight", name="loss"
    )


def token_metric() -> keras.metrics.Metric:
    """The same over many batches: the sum over all weighted tokens divided by the sum of weights.

    Keras's own running loss is a mean of the batches' means, which is another number when batches hold
    different numbers of tokens; pass this one to `compile` among the `weighted_metrics`.
    """
    return keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name=NATS)


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
