"""Logits as probabilities, and the order of tokens by them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kerasgpt.generation.scratch import scratch
from kerasgpt.protocols import Ids, Logits

FIRST_HEAD = 256  # tokens: most draws and nuclei of a trained model fall among so many
MARGIN = np.float32(8)  # e^-8 of the best token's probability: there they are found without a search
_PER_COLUMN = 32  # values of which one maximum is taken, to find the largest of all the sooner


def descending(logits: Logits) -> NDArray[np.intp]:
    """Token ids (..., V) from the most to the least probable; equal ones by ascending id."""
    # A stable argsort of -logits would do, six times slower at GPT-2's vocabulary: here the logit's
    # bits, turned so that they order as integers do, and the id share one word that sorts at once.
    bits = (logits + np.float32(0)).view(np.uint32)  # adding 0 makes -0 and 0 the same
    rank = np.where(bits >> np.uint32(31), bits, bits ^ np.uint32(0x7FFFFFFF)).astype(np.uint64)
    keys = (rank << np.uint64(32)) | np.arange(logits.shape[-1], dtype=np.uint64)
    keys.sort(axis=-1)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)


def kth_largest(values: Logits, count: int) -> np.float32:
    """The `count`-th largest of (V,)."""
    width = len(values) // _PER_COLUMN
    if count < width:
        # As many columns have a maximum above the bound as are asked for, so that as many values have:
        # only those few are left to be put in order.
        columns = values[: width * _PER_COLUMN].reshape(_PER_COLUMN, width)
        bound = np.partition(columns.max(axis=0), -count)[-count]
        values = values[values >= bound]
    threshold: np.float32 = np.partition(values, -count)[-count]
    return threshold


def heads(keys: Logits) -> Iterator[NDArray[np.intp]]:
    """The places of the largest keys of (V,) in falling order: some, then more, at last all above -inf.

    Whoever needs only the first places, as sampling mostly does, is spared sorting a whole vocabulary.
    """
    size = FIRST_HEAD
    if 2 * size < len(keys):
        near = np.flatnonzero(keys >= keys.max() - MARGIN)
        if len(near) <= 2 * size:
            yield near[descending(keys[near])]
    while 2 * size < len(keys) and (threshold := kth_largest(keys, size)) > -np.inf:
        largest = np.flatnonzero(keys >= threshold)
        yield largest[descending(keys[largest])]
        size *= 8
    places = np.flatnonzero(keys > -np.inf)
    yield places[descending(keys[places])]


def first_to_reach(keys: Logits, weights: Logits, share: float) -> NDArray[np.intp]:
    """The first places by falling key whose weights together reach a share of all weights.

    Args:
        keys: float32 (V,), minus infinity for places that are not there.
        weights: float32 (V,), 0 or more.
        share: from 0 to 1; one place is given at least.
    """
    target = np.float32(share) * weights.sum()
    for places in heads(keys):
        cumulative = np.cumsum(weights[places], dtype=np.float32)
        if cumulative[-1] >= target:
            break
    return places[: np.searchsorted(cumulative, target, side="left") + 1]


def nucleus(logits: Logits, probability: float) -> NDArray[np.intp]:
    """The smallest set of tokens of (V,) whose probability reaches p, from the most probable one down.

    Among equally probable tokens the one with the lowest id comes first.
    """
    shares = powers(logits, out=scratch("nucleus", len(logits)))
    shares /= shares.sum()
    return first_to_reach(logits, shares, probability)


def softmax(logits: Logits) -> Logits:
    """Probabilities, float32, of the last axis."""
    probabilities = powers(logits)
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    return probabilities


def powers(logits: Logits, out: Logits | None = None) -> Logits:
    """Probabilities of the last axis as multiples of the greatest, float32; `out` may be the logits."""
    shifted = np.subtract(logits, logits.max(axis=-1, keepdims=True), out=out)
    # In place: fresh memory for a whole vocabulary costs about as much as what is computed in it.
    exponentials: Logits = np.exp(shifted, out=shifted)
    return exponentials


def log_softmax(logits: Logits) -> Logits:
    """Natural-log probabilities, float32, of the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    # Summed in float64: tens of thousands of float32 terms would lose the last digits.
    totals = np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)
    logprobs: Logits = shifted - np.log(totals).astype(np.float32)
    return logprobs


def logprobs_of(logits: Logits, ids: Ids) -> Logits:
    """The log-probability of one token in each row of (B, V), float32 (B,), as `log_softmax` has it."""
    logprobs = np.empty(len(logits), np.float32)
    work = scratch("logprobs_of", logits.shape[1])  # one row's at a time stays in the processor's cache
    for number, (row, index) in enumerate(zip(logits, ids.tolist(), strict=True)):
        best = row.max()
        np.subtract(row, best, out=work)
        chosen = work[index]
        logprobs[number] = chosen - np.log(np.exp(work, out=work).sum(), dtype=np.float64)
    return logprobs
