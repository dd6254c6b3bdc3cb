"""The learning rate over the updates: a linear warm-up, then one of four ways down."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kerasgpt.errors import unknown_name
from kerasgpt.training.settings import SCHEDULES, TrainConfig


@keras.saving.register_keras_serializable(package="kerasgpt")
class WarmUpThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of update u: peak (u + 1) / (W + 1) in the W of the warm-up, then the shape's way down.

    With p the part of the rest that is over, in [0, 1]: ``cosine`` final + (peak - final) (1 + cos(pi p)) / 2
    (Loshchilov and Hutter 2017, arXiv:1608.03983), ``linear`` peak + (final - peak) p, ``constant`` peak, and
    ``warmup-stable-decay`` peak until the last updates, linear in these (Hu et al. 2024).

    Args:
        peak: the highest rate.
        final: the last rate.
        steps: updates in all.
        warmup_steps: W.
        shape: one of `kerasgpt.training.settings.SCHEDULES`.
        decay_fraction: of the updates, at the end, over which ``warmup-stable-decay`` falls.
        batches_per_update: Keras asks at each batch, also at those that are only accumulated.

    >>> schedule = WarmUpThenDecay(peak=1.0, final=0.0, steps=8, warmup_steps=3, shape="linear")
    >>> [round(float(schedule(update)), 2) for update in range(8)]
    [0.25, 0.5, 0.75, 1.0, 0.8, 0.6, 0.4, 0.2]
    """

    def __init__(
        self,
        peak: float,
        final: float,
        steps: int,
        warmup_steps: int,
        shape: str = "cosine",
        decay_fraction: float = 0.2,
        batches_per_update: int = 1,
    ) -> None:
        super().__init__()
        if shape not in SCHEDULES:
            raise unknown_name("schedule", shape, SCHEDULES)
        self.peak = peak
        self.final = final
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.shape = shape
        self.decay_fraction = decay_fraction
        self.batches_per_update = batches_per_update

    def __call__(self, step: Any) -> Any:
        """The rate of a batch, float32, counted from 0."""
        update = ops.cast(ops.floor_divide(ops.cast(step, "int32"), self.batches_per_update), "float32")
        rising = self.peak * (update + 1) / (self.warmup_steps + 1)
        return ops.where(update < self.warmup_steps, rising, self._after_warm_up(update))

    def _after_warm_up(self, update: Any) -> Any:
        begin = self.warmup_steps
        if self.shape == "warmup-stable-decay":
            begin = max(begin, self.steps - round(self.steps * self.decay_fraction))
        part = ops.clip((update - begin) / max(1, self.steps - begin), 0.0, 1.0)
        if self.shape == "cosine":
            part = (1 - ops.cos(math.pi * part)) / 2
        elif self.shape == "constant":
            part = ops.zeros_like(part)
        return self.peak + (self.final - self.peak) * part

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {
            "peak": self.peak,
            "final": self.final,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "shape": self.shape,
            "decay_fraction": self.decay_fraction,
            "batches_per_update": self.batches_per_update,
        }


def learning_rate_schedule(settings: TrainConfig) -> WarmUpThenDecay:
    """The schedule of a recipe; a warm-up as long as the run is cut short by the last update."""
    return WarmUpThenDecay(
        settings.learning_rate,
        settings.final_learning_rate,
        settings.steps,
        min(settings.warmup_steps, settings.steps - 1),
        settings.schedule,
        settings.decay_fraction,
        settings.accumulation_steps,
    )
