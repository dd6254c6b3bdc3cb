"""The loss and its mean, against numpy."""

import math

import keras
import numpy as np
import pytest

from kerasgpt.training.losses import bits_per_byte, perplexity, token_loss, token_metric


def _case(seed, weighted):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(2, 5, 7)).astype("float32")
    labels = generator.integers(7, size=(2, 5))
    weights = np.zeros((2, 5), "float32")
    weights.flat[:weighted] = 1
    logits64 = logits.astype("float64")
    nats = np.log(np.exp(logits64).sum(-1)) - np.take_along_axis(logits64, labels[..., None], -1)[..., 0]
    return labels, logits, weights, nats


@pytest.mark.parametrize("weighted", [10, 3, 1])
def test_the_loss_is_the_mean_over_weighted_tokens(weighted):
    labels, logits, weights, nats = _case(0, weighted)
    assert float(token_loss()(labels, logits, weights)) == pytest.approx(
        nats.ravel()[:weighted].mean(), rel=1e-5
    )


def test_a_batch_of_padding_alone_has_no_loss():
    labels, logits, weights, _ = _case(0, 0)
    assert float(token_loss()(labels, logits, weights)) == 0


def test_the_metric_is_exact_over_batches_of_different_size():
    metric, all_nats = token_metric(), []
    for seed, weighted in enumerate((10, 1, 4)):
        labels, logits, weights, nats = _case(seed, weighted)
        metric.update_state(labels, logits, weights)
        all_nats.extend(nats.ravel()[:weighted])
    assert float(metric.result()) == pytest.approx(np.mean(all_nats), rel=1e-6)


def test_bits_per_byte_counts_what_a_compressor_would_write():
    assert bits_per_byte(math.log(2), 300, 100) == pytest.approx(3.0)
    assert perplexity(math.log(8)) == pytest.approx(8.0)
    assert perplexity(1e9) == math.inf


@pytest.mark.parametrize(("smoothing", "z"), [(0.1, 0.0), (0.0, 1e-2), (0.3, 1e-2)])
def test_label_smoothing_and_z_loss_follow_their_formulas(smoothing, z):
    labels, logits, weights, nats = _case(3, 7)
    log_total = np.log(np.exp(logits.astype("float64")).sum(-1))
    every = log_total[..., None] - logits  # the cross-entropy of each token
    wanted = (1 - smoothing) * nats + smoothing * every.mean(-1) + z * log_total**2
    loss = token_loss(smoothing, z)
    assert float(loss(labels, logits, weights)) == pytest.approx(wanted.ravel()[:7].mean(), rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert float(again(labels, logits, weights)) == float(loss(labels, logits, weights))


def test_a_prompt_without_weight_teaches_nothing():
    labels, logits, weights, _ = _case(4, 5)
    changed = np.where(weights > 0, labels, (labels + 1) % 7)
    assert float(token_loss()(labels, logits, weights)) == float(token_loss()(changed, logits, weights))
