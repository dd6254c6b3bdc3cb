"""logits and a number -> id: the filters and the draw in one, for one row, without sorting a vocabulary.

All filters but typical-p keep the first tokens by falling probability. So one order serves them and the
draw, mostly that of a few hundred tokens; `kerasgpt.in_graph.sampling` does the same in TensorFlow ops.
"""

from __future__ import annotations

from math import log

import numpy as np

from kerasgpt.generation.probabilities import largest, powers, ranked, total
from kerasgpt.generation.processors import filtered
from kerasgpt.generation.scratch import scratch
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Ids, Logits

_FILTERED = GenerationConfig(temperature=1.0)


def pick(logits: Logits, settings: GenerationConfig, number: np.float32) -> int:
    """The token at which the cumulative probability of those that the filters leave passes a number.

    Tokens are laid end to end from the most to the least probable (equal ones by ascending id), each as
    long as its probability, all in float32.

    Args:
        logits: float32 (V,), minus infinity for tokens that are not to be chosen.
        settings: temperature, which is not 0, top-k, top-p, min-p and typical-p, applied in this order.
        number: in [0, 1).

    >>> logits = np.log(np.array([0.125, 0.5, 0.25, 0.125], np.float32))
    >>> [pick(logits, GenerationConfig(temperature=1.0), np.float32(number)) for number in (0.3, 0.7, 0.8)]
    [1, 2, 0]
    >>> pick(logits, GenerationConfig(temperature=1.0, top_p=0.5), np.float32(0.8))
    1
    """
    if settings.typical_p < 1:  # what it keeps is not the beginning of the order
        logits, settings = filtered(logits, settings), _FILTERED
    ids = _contenders(logits, settings)
    if ids is not None:
        logits = logits[ids]
    weights = powers(logits, settings.temperature, out=scratch("pick", len(logits)))
    if settings.top_p < 1:
        target = np.float32(settings.top_p) * total(weights)
        places, sums = ranked(logits, weights, target)
        size = int(np.searchsorted(sums, target, side="left")) + 1
        if settings.min_p:
            size = min(size, int(np.count_nonzero(weights[places] >= np.float32(settings.min_p))))
        sums = sums[:size]
        target = number * sums[-1]
    else:
        if settings.min_p:
            weights[weights < np.float32(settings.min_p)] = 0
        target = number * total(weights)
        places, sums = ranked(logits, weights, target)
    index = int(np.searchsorted(sums, target, side="right"))
    if index == len(sums):  # the sums stay a little below the total: then the last token that added to them
        index = int(np.searchsorted(sums, sums[-1], side="left"))
    place = int(places[index])
    return place if ids is None else int(ids[place])


def _contenders(logits: Logits, settings: GenerationConfig) -> Ids | None:
    """The ids of which some are chosen from, rising, or None for all; found sooner than probabilities are."""
    if 0 < settings.top_k < len(logits):
        return largest(logits, settings.top_k)
    if settings.min_p and settings.top_p == 1:  # or else top-p, which is asked first, counts the others too
        best = float(logits.max())
        # A little too low, so that the probabilities themselves decide about what lies next to it.
        lowest = best + settings.temperature * (log(settings.min_p) - 1e-3) - abs(best) * 1e-6
        return np.flatnonzero(logits >= lowest)
    return None
