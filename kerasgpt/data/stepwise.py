"""StepwiseDataset: batches for `fit`, each a pure function of the global step."""

from __future__ import annotations

import abc
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
        self._asked: set[int] = set()  # indices, in this pass over the data
        self._may_begin = False  # whether the next index may be the first of a pass
        self._is_new_epoch = False  # whether an epoch began since the pass did
        self._has_begun = False

    @property
    def num_batches(self) -> int:
        """How many batches there are; Keras asks for it whenever it begins to ask for all of them."""
        self._may_begin = True
        return len(self)

    def __len__(self) -> int:
        return self.steps_per_epoch if self.num_steps is None else self.num_steps

    def __getitem__(self, index: int) -> Batch:
        began = time.perf_counter()
        if self.num_steps is None:
            self._note(index)
        batch = self.batch(self.first_step + index + self._passes_done * self.steps_per_epoch)
        self.waited_seconds += time.perf_counter() - began
        return batch

    def _note(self, index: int) -> None:
        comes_again = self._is_new_epoch and index in self._asked
        if (self._may_begin or comes_again) and self.workers <= 1:  # several ask ahead of each other
            self._begin()
        self._asked.add(index)

    def on_epoch_begin(self) -> None:
        """Called by `fit`: the next pass over the data has an order of its own.

        An epoch is a part of a pass where `fit` was given `steps_per_epoch`, and TensorFlow asks for batches
        ahead of it, so that passes are told by what is asked for; with several workers by the epochs.
        What is asked for outside of any epoch stays as it is.
        """
        if not self._has_begun:
            self._asked.clear()  # looked at by TensorFlow
        elif self.workers > 1:
            self._begin()
        self._has_begun = self._is_new_epoch = True

    def _begin(self) -> None:
        """Begin a pass, unless what was asked for was only looked at: two batches, on JAX and torch one."""
        if len(self._asked) >= min(_MOST_LOOKED_AT + 1, len(self)):
            self._passes_done += 1
        self._asked.clear()
        self._may_begin = self._is_new_epoch = False

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
