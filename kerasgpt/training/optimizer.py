"""AdamW with warm-up, cosine and clipping; it remembers the norm of the last gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerasgpt.training.config import TrainConfig


@keras.saving.register_keras_serializable(package="kerasgpt")
class RecordingAdamW(keras.optimizers.AdamW):
    """Keras's AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) that records the gradient's global norm.

    `gradient_norm`, a float32 scalar, is the norm before clipping of the gradient behind the last update,
    accumulated batches included.
    """

    def build(self, variables: Sequence[Any]) -> None:
        """Make the state of all variables."""
        super().build(variables)
        self.gradient_norm = self.add_variable((), name="gradient_norm", dtype="float32")
        self._accumulators = [v for v in self.variables if v.name.endswith("gradient_accumulator")]

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update the variables, having recorded the norm."""
        if not self.built:
            self.build(list(trainable_variables or []))
        window = self.gradient_accumulation_steps or 1
        before = self._accumulators or [0.0] * len(grads)
        means = [(grad + sum_) / window for grad, sum_ in zip(grads, before, strict=True) if grad is not None]
        squares = [ops.sum(ops.square(ops.cast(mean, "float32"))) for mean in means]
        self.gradient_norm.assign(ops.sqrt(sum(squares)))
        super().apply(grads, trainable_variables)


def learning_rate_schedule(settings: TrainConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Linear warm-up, then a cosine down to the final rate, as a function of batches read.

    Keras asks the schedule at every batch, accumulated ones too, so steps are counted in batches.
    """
    peak, batches = settings.learning_rate, settings.accumulation_steps
    warmup = min(settings.warmup_steps, settings.steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / (warmup + 1),  # not 0, with which the first update would be none
        warmup_target=peak if warmup else None,
        warmup_steps=warmup * batches,
        decay_steps=max(1, (settings.steps - warmup) * batches),
        alpha=settings.final_learning_rate / peak if peak else 0.0,
    )


def make_optimizer(settings: TrainConfig, model: keras.Model) -> RecordingAdamW:
    """Make the optimizer of a built model; biases, norms and positions do not decay."""
    optimizer = RecordingAdamW(
        learning_rate=learning_rate_schedule(settings),
        weight_decay=settings.weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        global_clipnorm=settings.clip_norm or None,
        gradient_accumulation_steps=settings.accumulation_steps if settings.accumulation_steps > 1 else None,
    )
    optimizer.exclude_from_weight_decay(var_list=undecayed_variables(model))
    return optimizer


def undecayed_variables(model: keras.Model) -> list[Any]:
    """Biases and norms, which are vectors, and the table of positions."""
    return [
        variable
        for variable in model.trainable_variables
        if len(variable.shape) < 2 or "position_embedding" in variable.path
    ]
