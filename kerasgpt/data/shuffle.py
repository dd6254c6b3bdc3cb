"""Permutation: an order of any number of items, computed item by item and never held."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_NUM_ROUNDS = 6  # four make a Feistel network indistinguishable from chance, given random rounds
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Permutation:
    """A bijection of 0 .. N - 1 that depends on N and the entropy alone.

    A Feistel network permutes the smallest 4^h >= N numbers (Luby and Rackoff 1988): the halves (l, r) of
    2h bits become (r, l xor f(r)), f being different in each round. A number that lands beyond N is sent
    through again until it does not (Black and Rogaway 2002), which is at most four times on average.

    Args:
        num_items: N, at least 1.
        entropy: non-negative integers; others give another order.

    >>> permutation = Permutation(5, [2024, 1])
    >>> sorted(permutation(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, num_items: int, entropy: Sequence[int]) -> None:
        self.num_items = num_items
        half_bits = max(1, ((num_items - 1).bit_length() + 1) // 2)
        self._half_bits = np.uint64(half_bits)
        self._mask = np.uint64((1 << half_bits) - 1)
        self._keys = np.random.SeedSequence(list(entropy)).generate_state(_NUM_ROUNDS, np.uint64)

    def __call__(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where each number in [0, N) goes, int64 of the same shape."""
        images = self._network(np.asarray(numbers).astype(np.uint64))
        while (beyond := images >= self.num_items).any():
            images[beyond] = self._network(images[beyond])
        return images.astype(np.int64)

    def _network(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = numbers >> self._half_bits, numbers & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right ^ key) & self._mask)
        return (left << self._half_bits) | right


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Let each bit depend on all: the finalizer of SplitMix64 (Steele et al. 2014), wrapping around."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * _MULTIPLIERS[0]
    numbers = (numbers ^ (numbers >> np.uint64(27))) * _MULTIPLIERS[1]
    return numbers ^ (numbers >> np.uint64(31))
