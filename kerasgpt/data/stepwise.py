"""StepwiseDataset: batches for `fit`, each a pure function of the global step."""

from __future__ import annotations

import abc
import os
import time
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from kerasgpt.errors import UsageError

Inputs: TypeAlias = NDArray[np.int32] | dict[str, NDArray[np.int32]]
Batch: TypeAlias = tuple[Inputs, NDArray[np.int32], NDArray[np.float32]]
"""ids int32 (B, T), or them with ``segment_ids`` and ``position_ids``; labels int32 (B, T); weights float32
(B, T)."""

_MOST_LOOKED_AT = 2  # batches, to see their shapes


class StepwiseDataset(keras.utils.PyDataset, abc.ABC):
    """Batches of (B, T), epoch after epoch, that depend on nothing but the number of the step.

    Args:
        sequence_length: T, tokens of a row.
        batch_size: B, rows of a batch.
        first_step: global step of the first batch.
        num_steps: batches it has; None means one epoch, and `fit` goes on to the next epoch by itself.

    Attributes:
        steps_per_epoch: batches of an epoch; a subclass sets it.
        waited_seconds: spent in making batches so far, and so the most that `fit` waited for them: on
            TensorFlow they are made ahead, in another thread.

    Raises:
        UsageError: a size is below 1.
    """

    steps_per_epoch: int

    def __init__(
        self, sequence_length: int, batch_size: int, first_step: int = 0, num_steps: int | None = None
    ) -> None:
        super().__init__()
        if sequence_length < 1 or batch_size < 1:
            raise UsageError(
                f"sequence_length {sequence_length} and batch_size {batch_size}: at least 1 each"
            )
        self.sequence_length = sequence_length
        self.batch_size = batch_size
        self.first_step = first_step
        self.num_steps = num_steps
        self.waited_seconds = 0.0
        self._passes_done = 0
        self._has_begun = False
        self._asked: set[int] = set()  # indices, in this pass over the data
        self._looked_at: set[int] = set()  # asked for too, but maybe only to see what a batch is
        self._process = os.getpid()

    @property
    def num_batches(self) -> int:
        """How many batches there are."""
        return self.steps_per_epoch if self.num_steps is None else self.num_steps

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, index: int) -> Batch:
        began = time.perf_counter()
        self._note(index)
        batch = self.batch(self.first_step + index + self._passes_done * self.steps_per_epoch)
        self.waited_seconds += time.perf_counter() - began
        return batch

    def _note(self, index: int) -> None:
        """Take in that a batch is asked for: each comes once in a pass over the data, in any order."""
        if os.getpid() != self._process:
            return  # the copy of a worker process, which is asked for a part of them
        if index in self._asked:
            self._begin_pass()
        self._asked.add(index)

    def on_epoch_begin(self) -> None:
        """Called by `fit`: the next pass over the data has an order of its own.

        An epoch is a part of one where `fit` was given `steps_per_epoch`. Before its first epoch `fit` looks
        at two batches, or on JAX at any one, in an epoch that it then drops.
        """
        read = self._asked | self._looked_at
        if self._has_begun and len(read) >= self.num_batches:
            self._begin_pass()
        elif not self._has_begun or len(self._asked) <= _MOST_LOOKED_AT:
            self._looked_at, self._asked = read, set()
        self._has_begun = True

    def _begin_pass(self) -> None:
        self._asked, self._looked_at = set(), set()
        if self.num_steps is None:
            self._passes_done += 1

    @abc.abstractmethod
    def batch(self, step: int) -> Batch:
        """The batch of a global step, whatever was asked for before."""


def require_seed(seed: Any) -> None:
    """Refuse what numpy takes no order from, before anything is read.

    Raises:
        UsageError: it is negative, or no whole number.
    """
    if seed is not None and not (isinstance(seed, int | np.integer) and seed >= 0):
        raise UsageError(f"seed is {seed}: it must be a whole number of 0 or more")
