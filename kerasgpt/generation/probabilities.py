"""Logits as probabilities, and the order of tokens by them."""

from __future__ import annotations

from collections.abc import Iterator
from math import e, log, log2

import numpy as np
from numpy.lib.introspect import opt_func_info
from numpy.typing import NDArray

from kerasgpt.errors import KerasGPTError
from kerasgpt.generation.scratch import scratch
from kerasgpt.protocols import Ids, Logits

FIRST_HEAD = 256  # tokens: most draws and nuclei of a trained model fall among so many
MARGIN = np.float32(8)  # e^-8 of the best token's probability: there they are found without a search
_PER_COLUMN = 32  # values of which one maximum is taken, to find the largest of all the sooner


def _has_fast_exp2() -> bool:
    """Whether numpy takes 2^x of float32 in vectors: then it is twice as fast as e^x, else half as fast."""
    # A numpy that was built without a choice of kernels has none to tell of.
    kernels = opt_func_info(func_name="^exp2$", signature="float32").get("exp2", {})
    return bool(kernels) and not any(kernel["current"].startswith("baseline") for kernel in kernels.values())


HAS_FAST_EXP2 = _has_fast_exp2()


def descending(logits: Logits) -> NDArray[np.intp]:
    """Token ids (..., V) from the most to the least probable; equal ones by ascending id."""
    if logits.shape[-1] <= 2 * FIRST_HEAD:
        order: NDArray[np.intp] = np.argsort(-logits, axis=-1, kind="stable")
        return order
    # This is six times slower at GPT-2's vocabulary: there the logit's bits, turned so that they order as
    # integers do, and the id share one word that sorts at once.
    bits = (logits + np.float32(0)).view(np.uint32)  # adding 0 makes -0 and 0 the same
    rank = np.where(bits >> np.uint32(31), bits, bits ^ np.uint32(0x7FFFFFFF)).astype(np.uint64)
    keys = (rank << np.uint64(32)) | np.arange(logits.shape[-1], dtype=np.uint64)
    keys.sort(axis=-1)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)


def largest(values: Logits, count: int) -> NDArray[np.intp]:
    """The places of the `count` largest of (V,), rising, and of those that equal the last of them."""
    width = len(values) // _PER_COLUMN
    if count >= width:
        return np.flatnonzero(values >= np.partition(values, -count)[-count])
    # As many columns have a maximum above the bound as are asked for, so that as many values have:
    # only those few are left to be put in order.
    columns = values[: width * _PER_COLUMN].reshape(_PER_COLUMN, width)
    bound = np.partition(columns.max(axis=0), -count)[-count]
    near = np.flatnonzero(values >= bound)
    few = values[near]
    places: NDArray[np.intp] = near[few >= np.partition(few, -count)[-count]]
    return places


def heads(keys: Logits) -> Iterator[NDArray[np.intp]]:
    """The places of the largest keys of (V,) in falling order: some, then more, at last all above -inf.

    Whoever needs only the first places, as sampling mostly does, is spared sorting a whole vocabulary.
    """
    size = FIRST_HEAD
    if 2 * size < len(keys):
        (near,) = (keys >= keys.max() - MARGIN).nonzero()
        if len(near) <= 2 * size:
            yield near[descending(keys[near])]
    while 2 * size < len(keys):
        places = largest(keys, size)
        if keys[places].min() == -np.inf:
            break
        yield places[descending(keys[places])]
        size *= 8
    places = np.flatnonzero(keys > -np.inf)
    yield places[descending(keys[places])]


def ranked(keys: Logits, weights: Logits, target: np.float32) -> tuple[NDArray[np.intp], Logits]:
    """Places by falling key and their weights added up, until the sums pass a target or all are there.

    Args:
        keys: float32 (V,), minus infinity for places that are not there.
        weights: float32 (V,), 0 or more.
        target: mostly below the sum of all weights.
    """
    for places in heads(keys):
        sums = np.cumsum(weights[places], dtype=np.float32)
        if sums[-1] > target:
            break
    return places, sums


def first_to_reach(keys: Logits, weights: Logits, share: float) -> NDArray[np.intp]:
    """The first places by falling key whose weights together reach a share, from 0 to 1, of all weights.

    Keys and weights are those of `ranked`; one place is given at least.
    """
    target = np.float32(share) * total(weights)
    places, sums = ranked(keys, weights, target)
    return places[: np.searchsorted(sums, target, side="left") + 1]


def softmax(logits: Logits) -> Logits:
    """Probabilities, float32, of the last axis."""
    probabilities = powers(logits)
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    return probabilities


def powers(
    logits: Logits, temperature: float = 1, out: Logits | None = None, best: np.float32 | None = None
) -> Logits:
    """Probabilities of the last axis as multiples of the greatest, float32.

    Args:
        logits: float32 (..., V).
        temperature: by which they are divided.
        out: where the result goes; it may be the logits.
        best: of (V,) the largest, if it is known.
    """
    highest = logits.max(axis=-1, keepdims=True) if best is None else best
    # In place: fresh memory for a whole vocabulary costs about as much as what is computed in it.
    shifted = np.subtract(logits, highest, out=out)
    if HAS_FAST_EXP2:
        np.multiply(shifted, np.float32(log2(e) / temperature), out=shifted)
        exponentials: Logits = np.exp2(shifted, out=shifted)
    else:
        if temperature != 1:
            np.divide(shifted, np.float32(temperature), out=shifted)
        exponentials = np.exp(shifted, out=shifted)
    return exponentials


def total(weights: Logits) -> np.float32:
    """The sum of (V,), 0 or more: as exact as numpy's own, and half the work at GPT-2's vocabulary."""
    width = len(weights) // _PER_COLUMN
    sums = weights[: width * _PER_COLUMN].reshape(_PER_COLUMN, width).sum(axis=0)  # a vector at a time
    added: np.float32 = sums.sum() + weights[width * _PER_COLUMN :].sum()
    return added


def refuse_no_numbers(logits: Logits) -> None:
    """Refuse logits (..., V) in a row of which there is a NaN, or none that is finite.

    Raises:
        KerasGPTError: there is such a row.
    """
    if logits.size and not np.isfinite(logits.max(axis=-1)).all():
        raise KerasGPTError(
            "the model's logits are not finite: its weights are damaged or their training has diverged, or"
            " the numbers are too large for its precision; check the model, or choose another precision"
        )


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
    with np.errstate(over="ignore", invalid="ignore"):
        for number, (row, index) in enumerate(zip(logits, ids.tolist(), strict=True)):
            # Against the token's own logit: it is seldom far from the best, which need not be searched for.
            relative = total(powers(row, out=work, best=row[index]))
            if relative < np.inf:
                logprobs[number] = -log(relative)
            else:  # far from it, or no number
                best = row.max()
                logprobs[number] = row[index] - best - log(total(powers(row, out=work, best=best)))
    return logprobs
