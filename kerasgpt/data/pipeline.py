"""Batches for `fit`: windows over token ids, each batch a pure function of the seed and the step."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.packing import Ids, pack
from kerasgpt.data.sources import ErrorHandling
from kerasgpt.data.splits import PARTS, Part, Split
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.tokenizer.bpe import Tokenizer

Batch: TypeAlias = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
"""ids int32 (B, T), labels int32 (B, T), weights float32 (B, T)."""


class TokenDataset(keras.utils.PyDataset):
    """Windows of T tokens with the token after each, in batches, for `fit` and `evaluate`.

    An epoch covers the ids with windows that begin at multiples of T, moved by an offset of the epoch's
    own; the windows come in an order of the epoch's own, and every id but the first is a label once.
    What a window lacks at the ends of the ids, and a batch at the end of the epoch, is there with
    weight 0, so that all batches have one shape. The labels of a batch depend only on the ids, the
    seed and the step: a run can go on from any step with the batches it would have had.

    Args:
        ids: (num_tokens,), at least 2.
        sequence_length: T, tokens of a window.
        batch_size: B, windows of a batch.
        seed: of the offsets and orders; None means consecutive windows from the beginning, every epoch.
        first_step: global step of the first batch.
        num_steps: batches it has; None means one epoch, and `fit` goes on to the next epoch by itself.

    Raises:
        UsageError: a size is below 1.
        KerasGPTError: there is no id to predict.

    >>> dataset = TokenDataset(np.arange(7), sequence_length=4, batch_size=2, seed=None)
    >>> ids, labels, weights = dataset[0]
    >>> ids.tolist(), labels.tolist(), weights.tolist()[1]
    ([[0, 1, 2, 3], [4, 5, 0, 0]], [[1, 2, 3, 4], [5, 6, 0, 0]], [1.0, 1.0, 0.0, 0.0])
    """

    def __init__(
        self,
        ids: Ids | NDArray[np.int64],
        sequence_length: int,
        batch_size: int,
        seed: int | None = 0,
        *,
        first_step: int = 0,
        num_steps: int | None = None,
    ) -> None:
        super().__init__()
        if sequence_length < 1 or batch_size < 1:
            raise UsageError(
                f"sequence_length {sequence_length} and batch_size {batch_size}: at least 1 each"
            )
        if len(ids) < 2:
            raise KerasGPTError("this part of the data holds no text: give more data or a larger fraction")
        self.ids = ids
        self.sequence_length = sequence_length
        self.batch_size = batch_size
        self.seed = seed
        self.first_step = first_step
        self.num_steps = num_steps
        most_windows = math.ceil((len(ids) - 1) / sequence_length) + (seed is not None)
        self.steps_per_epoch = math.ceil(most_windows / batch_size)
        self._epochs_begun = 0
        self._plan: tuple[int, int, NDArray[np.int64]] = (-1, 0, np.empty(0, np.int64))

    @property
    def num_batches(self) -> int:
        """How many batches there are."""
        return self.steps_per_epoch if self.num_steps is None else self.num_steps

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, index: int) -> Batch:
        epochs_done = max(0, self._epochs_begun - 1) if self.num_steps is None else 0
        return self.batch(self.first_step + index + epochs_done * self.steps_per_epoch)

    def on_epoch_begin(self) -> None:
        """Called by `fit`: the next epoch has an offset and an order of its own."""
        self._epochs_begun += 1

    def batch(self, step: int) -> Batch:
        """The batch of a global step, whatever was asked for before."""
        epoch, index = divmod(step, self.steps_per_epoch)
        offset, order = self._plan_of(epoch)
        slots = order[index * self.batch_size : (index + 1) * self.batch_size]
        rows = [self._window(int(slot) * self.sequence_length - offset) for slot in slots]
        ids, labels, weights = zip(*rows, strict=True)
        return np.stack(ids), np.stack(labels), np.stack(weights)

    def _plan_of(self, epoch: int) -> tuple[int, NDArray[np.int64]]:
        planned, offset, order = self._plan
        if planned != epoch:
            num_slots = self.steps_per_epoch * self.batch_size
            offset, order = 0, np.arange(num_slots)
            if self.seed is not None:
                generator = np.random.default_rng([self.seed, epoch])
                offset = int(generator.integers(self.sequence_length))
                order = generator.permutation(num_slots)
            self._plan = (epoch, offset, order)
        return offset, order

    def _window(self, start: int) -> Batch:
        """The window over [start, start + T), which may stick out of the ids at either end."""
        first, last = max(0, start), min(start + self.sequence_length, len(self.ids) - 1)
        window = np.asarray(self.ids[first : last + 1], np.int32) if first < last else np.empty(1, np.int32)
        size = len(window) - 1
        ids, labels = np.zeros((2, self.sequence_length), np.int32)
        weights = np.zeros(self.sequence_length, np.float32)
        ids[:size], labels[:size], weights[:size] = window[:-1], window[1:], 1.0
        return ids, labels, weights


def dataset(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    tokenizer: Tokenizer,
    sequence_length: int,
    batch_size: int,
    seed: int = 0,
    split: Part = "train",
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    method: str = "tail",
    errors: ErrorHandling = "strict",
    cache: str | os.PathLike[str] | None = None,
) -> TokenDataset:
    """Turn raw text into batches for your own `compile` and `fit`.

    Args:
        paths: a text or JSON-lines file, or several.
        tokenizer: encodes them; learn one with `kerasgpt.tokenizer.training.learn`.
        sequence_length: T, tokens of a window.
        batch_size: B, windows of a batch.
        seed: of the order of the windows.
        split: the part wanted: ``"train"`` is shuffled, ``"validation"`` and ``"test"`` come in order.
        validation_fraction: of the data, see `kerasgpt.data.splits.Split`.
        test_fraction: likewise.
        method: how to divide, ``"tail"`` or ``"document"``.
        errors: what to do about bytes that are not UTF-8, ``"strict"`` or ``"replace"``.
        cache: folder for the encoded text; None means the user's cache.

    Returns:
        One epoch of (ids, labels, weights); for a loss that ignores padding compile with
        ``keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")``.

    Raises:
        UsageError: no such split.
        KerasGPTError: a file cannot be read, or holds less than one window.

    ```python
    data = kerasgpt.dataset("story.txt", tokenizer, sequence_length=128, batch_size=8)
    model.fit(data, epochs=3)
    ```
    """
    if split not in PARTS:
        raise unknown_name("split", split, PARTS)
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    division = Split(validation_fraction, test_fraction, method)
    ids = pack(files, tokenizer, division, errors=errors, cache=cache).ids(split)
    if split == "train":
        require_window(ids, sequence_length, files)
    return TokenDataset(ids, sequence_length, batch_size, seed if split == "train" else None)


def require_window(ids: Ids, sequence_length: int, paths: Sequence[Any]) -> None:
    """Refuse to train on less than one full window of `sequence_length` tokens and the next.

    Raises:
        KerasGPTError: there are fewer.
    """
    if len(ids) <= sequence_length:
        names = ", ".join(str(Path(path)) for path in paths)
        raise KerasGPTError(
            f"{names}: the part to train on has {len(ids)} tokens, and one window takes"
            f" {sequence_length + 1}: give more text or a smaller sequence length"
        )
