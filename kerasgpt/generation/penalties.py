"""logits -> logits by what the text holds: tokens made less or more likely, none impossible.

Each function takes the float32 logits (V,) of one row, gives new ones and changes nothing in place.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kerasgpt.protocols import Ids, Logits


def logit_bias(logits: Logits, biases: Mapping[int, float]) -> Logits:
    """Add to the logits of some tokens: id -> bias."""
    biased = logits.copy()
    biased[list(biases)] += np.array(list(biases.values()), np.float32)
    return biased


def repetition_penalty(logits: Logits, text: Ids, penalty: float) -> Logits:
    """Divide the positive and multiply the negative logits of a text's tokens (Keskar et al. 2019, eq. 2).

    Args:
        logits: float32 (V,).
        text: int64 (S,), prompt and continuation.
        penalty: above 1 discourages repetition.
    """
    factor = np.float32(penalty)
    seen = logits[text]  # a token that occurs twice is written twice below, with the same number
    penalised = logits.copy()
    penalised[text] = np.where(seen > 0, seen / factor, seen * factor)
    return penalised


def occurrence_penalty(logits: Logits, continuation: Ids, presence: float, frequency: float) -> Logits:
    """Lower the logits of tokens written before, as OpenAI's API does: c frequency + [c > 0] presence.

    Args:
        logits: float32 (V,).
        continuation: int64 (S,), what was written; the prompt is not counted.
        presence: taken off once.
        frequency: taken off for each of the c times that the continuation has the token.
    """
    ids, counts = np.unique(continuation, return_counts=True)
    penalised = logits.copy()
    penalised[ids] -= counts.astype(np.float32) * np.float32(frequency) + np.float32(presence)
    return penalised
