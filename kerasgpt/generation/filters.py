"""logits -> logits by probability alone: sharpen, and cut off what is improbable or atypical.

Each function takes float32 logits (..., V), gives those of the same shape, and changes nothing in
place; a token that is removed gets minus infinity. At least one token that was there is left.
"""

from __future__ import annotations

import numpy as np

from kerasgpt.generation.probabilities import first_to_reach, log_softmax, softmax
from kerasgpt.protocols import Logits

REMOVED = np.float32(-np.inf)


def temperature(logits: Logits, value: float) -> Logits:
    """Divide the logits: below 1 sharpens the distribution, above 1 flattens it."""
    return logits if value == 1 else logits / np.float32(value)


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
    rows = logits.reshape(-1, logits.shape[-1])
    kept = np.full_like(rows, REMOVED)
    for row, shares, filtered in zip(rows, softmax(rows), kept, strict=True):
        tokens = first_to_reach(row, shares, probability)
        filtered[tokens] = row[tokens]
    return kept.reshape(logits.shape)


def min_p(logits: Logits, ratio: float) -> Logits:
    """Remove tokens less probable than `ratio` times the most probable one (arXiv:2407.01082)."""
    probabilities = softmax(logits)
    threshold = np.float32(ratio) * probabilities.max(axis=-1, keepdims=True)
    return np.where(probabilities < threshold, REMOVED, logits)


def typical_p(logits: Logits, probability: float) -> Logits:
    """Keep the tokens whose information -log p is nearest to the entropy (Meister et al. 2022, eq. 10).

    As many as are needed to reach the given probability, and those exactly as near as the last of
    them. The most probable token may be removed.
    """
    rows = logits.reshape(-1, logits.shape[-1])
    return np.stack([_typical(row, probability) for row in rows]).reshape(logits.shape)


def _typical(logits: Logits, probability: float) -> Logits:
    logprobs = log_softmax(logits)
    shares = np.exp(logprobs)
    terms = np.where(shares > 0, logprobs, np.float32(0)) * shares
    distance = np.abs(logprobs - terms.sum())  # |information - entropy|, infinite where there is no token
    last = first_to_reach(-distance, shares, probability)[-1]
    return np.where(distance > distance[last], REMOVED, logits)
