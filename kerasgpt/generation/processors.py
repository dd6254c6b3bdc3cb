"""logits -> logits: penalise, sharpen and cut off, in the order of Hugging Face's warpers.

Each function takes float32 logits (..., V), gives new ones of the same shape, and changes nothing in
place; a token that is removed gets minus infinity. The most probable token is never removed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GenerationConfig
from kerasgpt.protocols import Logits

REMOVED = np.float32(-np.inf)


def process(logits: Logits, settings: GenerationConfig, seen: NDArray[np.bool_] | None = None) -> Logits:
    """Apply a request's settings: penalty, then temperature, top-k, top-p, min-p.

    Args:
        logits: float32 (..., V).
        settings: of the request; when greedy only the penalty applies, the rest cannot change the best.
        seen: bool (..., V), tokens already in the text; needed when a penalty is set.

    Returns:
        float32 (..., V).

    >>> logits = np.array([1.0, 2.0, 4.0], np.float32)
    >>> process(logits, GenerationConfig(temperature=2.0, top_k=2)).tolist()
    [-inf, 1.0, 2.0]
    """
    if settings.repetition_penalty != 1 and seen is not None:
        logits = repetition_penalty(logits, seen, settings.repetition_penalty)
    if settings.is_greedy:
        return logits
    logits = temperature(logits, settings.temperature)
    if settings.top_k:
        logits = top_k(logits, settings.top_k)
    if settings.top_p < 1:
        logits = top_p(logits, settings.top_p)
    return min_p(logits, settings.min_p) if settings.min_p else logits


def repetition_penalty(logits: Logits, seen: NDArray[np.bool_], penalty: float) -> Logits:
    """Divide the positive and multiply the negative logits of seen tokens (Keskar et al. 2019, eq. 2).

    Args:
        logits: float32 (..., V).
        seen: bool (..., V), true for the tokens of prompt and continuation.
        penalty: above 1 discourages repetition.
    """
    factor = np.float32(penalty)
    return np.where(seen, np.where(logits > 0, logits / factor, logits * factor), logits)


def temperature(logits: Logits, value: float) -> Logits:
    """Divide the logits: below 1 sharpens the distribution, above 1 flattens it."""
    return logits / np.float32(value)


def top_k(logits: Logits, count: int) -> Logits:
    """Keep the `count` most probable tokens, and those exactly as probable as the last of them."""
    if count >= logits.shape[-1]:
        return logits
    threshold = np.partition(logits, -count, axis=-1)[..., -count, None]
    return np.where(logits < threshold, REMOVED, logits)


def top_p(logits: Logits, probability: float) -> Logits:
    """Keep the smallest set of tokens whose probability reaches p (Holtzman et al. 2020, section 3.1).

    Among equally probable tokens the one with the lowest id comes first.
    """
    order = descending(logits)
    probabilities = softmax(np.take_along_axis(logits, order, axis=-1))
    before = np.cumsum(probabilities, axis=-1, dtype=np.float32) - probabilities
    keep_sorted = before < np.float32(probability)
    keep_sorted[..., 0] = True
    keep = np.empty_like(keep_sorted)
    np.put_along_axis(keep, order, keep_sorted, axis=-1)
    return np.where(keep, logits, REMOVED)


def min_p(logits: Logits, ratio: float) -> Logits:
    """Remove tokens less probable than `ratio` times the most probable one (arXiv:2407.01082)."""
    probabilities = softmax(logits)
    threshold = np.float32(ratio) * probabilities.max(axis=-1, keepdims=True)
    return np.where(probabilities < threshold, REMOVED, logits)


def descending(logits: Logits) -> NDArray[np.intp]:
    """Token ids (..., V) from the most to the least probable; equal ones by ascending id."""
    # A stable argsort of -logits would do, six times slower at GPT-2's vocabulary: here the logit's
    # bits, turned so that they order as integers do, and the id share one word that sorts at once.
    bits = (logits + np.float32(0)).view(np.uint32)  # adding 0 makes -0 and 0 the same
    rank = np.where(bits >> np.uint32(31), bits, bits ^ np.uint32(0x7FFFFFFF)).astype(np.uint64)
    keys = (rank << np.uint64(32)) | np.arange(logits.shape[-1], dtype=np.uint64)
    keys.sort(axis=-1)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)


def softmax(logits: Logits) -> Logits:
    """Probabilities, float32, of the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Logits = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def log_softmax(logits: Logits) -> Logits:
    """Natural-log probabilities, float32, of the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    # Summed in float64: tens of thousands of float32 terms would lose the last digits.
    totals = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    logprobs: Logits = shifted - np.log(totals).astype(np.float32)
    return logprobs
