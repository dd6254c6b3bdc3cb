"""Sequence-length warm-up: the same windows cut into shorter ones at first, as many tokens a step."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from kerasgpt.errors import UsageError
from kerasgpt.training.settings import TrainConfig


class Stage(NamedTuple):
    """Updates from `first_step` up to `end_step` read windows of `length` tokens."""

    first_step: int
    end_step: int
    length: int


def stages(settings: TrainConfig) -> list[Stage]:
    """Divide a run: lengths double over equal stages of the warm-up, then are what they stay.

    Short windows first are Press et al. 2021, arXiv:2012.15832.

    Raises:
        UsageError: the full length is no doubling of the initial one.

    >>> warm_up = {"initial_sequence_length": 64, "sequence_length_warmup_steps": 200}
    >>> [tuple(stage) for stage in stages(TrainConfig(steps=1000, sequence_length=256, **warm_up))]
    [(0, 100, 64), (100, 200, 128), (200, 1000, 256)]
    """
    full, length = settings.sequence_length, settings.initial_sequence_length
    warmup = min(settings.sequence_length_warmup_steps, settings.steps)
    if not (length and warmup) or length == full:
        return [Stage(0, settings.steps, full)]
    ratio, rest = divmod(full, length)
    if rest or ratio & (ratio - 1) or not ratio:
        raise UsageError(
            f"train.initial_sequence_length is {length} and train.sequence_length {full}: the first must"
            f" become the second by doubling, as {full // 4} would"
        )
    lengths = [length << number for number in range(ratio.bit_length())]
    ends = [warmup * number // max(1, len(lengths) - 1) for number in range(1, len(lengths))]
    bounds = [0, *ends, settings.steps] if settings.steps > warmup else [0, *ends]
    spans = zip(bounds, bounds[1:], lengths, strict=False)
    return [Stage(*span) for span in spans if span[0] < span[1]]


def stage_of(settings: TrainConfig, step: int) -> Stage:
    """The stage in which so many updates are done."""
    return next(stage for stage in stages(settings) if step < stage.end_step)


class ShorterWindows(keras.utils.PyDataset):
    """The batches of a dataset with each window of T tokens cut into T / L: (B, T) -> (B T / L, L).

    Positions, where there are any, count from where the document or else the shorter window begins.

    Args:
        dataset: of batches whose arrays are all (B, T).
        length: L, which divides T.
    """

    def __init__(self, dataset: keras.utils.PyDataset, length: int) -> None:
        super().__init__()
        self.dataset = dataset
        self.length = length

    @property
    def num_batches(self) -> int | None:
        """As many as the dataset has."""
        return self.dataset.num_batches

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        batch = keras.tree.map_structure(lambda array: array.reshape(-1, self.length), self.dataset[index])
        if isinstance(batch[0], dict) and "position_ids" in batch[0]:
            batch[0]["position_ids"] = np.minimum(
                batch[0]["position_ids"], np.arange(self.length, dtype="i4")
            )
        return batch
