"""AdamW that clips by the global norm, records it, averages the weights, and passes spikes over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from kerasgpt.training.schedule import learning_rate_schedule
from kerasgpt.training.settings import TrainConfig

SPIKES_BEGIN = 20
"""Updates before any is called a spike: the first gradients are long, and their mean is not known yet."""

NORM_MEMORY = 0.95
"""Decay of the running mean of the gradient's norm that a spike is measured by."""


@keras.saving.register_keras_serializable(package="kerasgpt")
class RecordingAdamW(keras.optimizers.AdamW):
    """Keras's AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) with what a long run needs beside it.

    All of it is in variables of the optimizer, so that a checkpoint of these goes on exactly:

    - `gradient_norm`, float32, is the global norm before clipping of the gradient behind the last update,
      accumulated batches included;
    - `averages` follow the weights after each update, a <- a + (1 - d) (w - a), with d the smaller of
      `average_decay` and (1 + u) / (10 + u) after u updates, so that a short run's are not its beginning;
    - `num_spikes` counts the updates whose norm is not finite, or `spike_factor` times its running mean.

    Args:
        average_decay: d of the averages; 0 means there are none.
        spike_factor: 0 means that nothing is a spike.
        skips_spikes: whether a spike leaves the weights and the moments as they are.
        **kwargs: of `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        *args: Any,
        average_decay: float = 0.0,
        spike_factor: float = 0.0,
        skips_spikes: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.average_decay = average_decay
        self.spike_factor = spike_factor
        self.skips_spikes = skips_spikes
        self.averages: list[Any] = []

    def build(self, variables: Sequence[Any]) -> None:
        """Make the state of all variables; the averages begin as they are now."""
        super().build(variables)
        self._accumulators = [v for v in self.variables if v.name.endswith("gradient_accumulator")]
        self._moments = [v for v in self.variables if v.name.endswith(("momentum", "velocity"))]
        self.gradient_norm = self._number("gradient_norm")
        if self.spike_factor:
            self.num_spikes = self._number("num_spikes")
            self._usual_norm = self._number("usual_norm")
            self._num_usual = self._number("num_usual")
        if self.average_decay:
            self.averages = [self.add_variable_from_reference(v, name="average") for v in variables]
            for average, variable in zip(self.averages, variables, strict=True):
                average.assign(ops.copy(variable.value))  # JAX gives both buffers away, and wants two

    def _number(self, name: str) -> Any:
        return self.add_variable((), name=name, dtype="float32")

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Update the variables, and all that follows them."""
        if not self.built:
            self.build(list(trainable_variables or []))
        window = self.gradient_accumulation_steps or 1
        grads = self._summed_over_replicas(grads)
        # Keras's `iterations` counts updates, `_iterations` batches.
        updates = ops.equal((self._iterations + 1) % window, 0)  # or only accumulates this batch
        norm = self._norm(grads, window)
        self.gradient_norm.assign(norm)
        is_spike = self._watch(norm, updates) if self.spike_factor else None
        skips = self.skips_spikes and is_spike is not None
        kept = [*self._trainable_variables, *self._moments] if skips else []
        before = [ops.copy(variable.value) for variable in kept]
        super().apply(grads, trainable_variables)
        for variable, value in zip(kept, before, strict=True):
            variable.assign(ops.where(is_spike, value, variable.value))
        self._follow(updates, window)

    def _summed_over_replicas(self, grads: Sequence[Any]) -> list[Any]:
        """The gradients of all replicas of a strategy of TensorFlow's, so that they are clipped as one.

        Keras sums them after it has clipped each replica's. On JAX a gradient is of all devices already.
        """
        if not hasattr(super(), "_all_reduce_sum_gradients"):
            return list(grads)
        return [grad for grad, _ in super()._all_reduce_sum_gradients([(grad, None) for grad in grads])]

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        """Called by Keras once it has clipped: they are summed already."""
        return grads_and_vars

    def _norm(self, grads: Sequence[Any], window: int) -> Any:
        if self._accumulators:
            grads = [
                None if grad is None else (grad + sum_) / window
                for grad, sum_ in zip(grads, self._accumulators, strict=True)
            ]
        return global_norm(grads)

    def _clip_gradients(self, grads: Sequence[Any]) -> list[Any]:
        """Called by Keras before it updates. The norm is the one recorded, so that XLA computes it once."""
        if not self.global_clipnorm:
            clipped: list[Any] = super()._clip_gradients(grads)
            return clipped
        norm = global_norm(grads)
        # The difference is 0, and not a number where the norm is infinite: that shall not pass for a step.
        factor = self.global_clipnorm / ops.maximum(norm, self.global_clipnorm) + (norm - norm)
        return [None if grad is None else grad * ops.cast(factor, grad.dtype) for grad in grads]

    def _watch(self, norm: Any, updates: Any) -> Any:
        """Whether this is an update whose gradient is a spike; what is not adds to what is usual."""
        count, mean = self._num_usual.value, self._usual_norm.value
        is_known = count >= SPIKES_BEGIN
        usual = mean / ops.maximum(1 - ops.power(NORM_MEMORY, count), 1e-9)
        is_long = ops.logical_and(is_known, norm > self.spike_factor * usual)
        is_odd = ops.logical_or(ops.logical_not(ops.isfinite(norm)), is_long)
        is_spike = ops.logical_and(updates, is_odd)
        counts = ops.logical_and(updates, ops.logical_not(is_odd))
        followed = NORM_MEMORY * mean + (1 - NORM_MEMORY) * norm
        self._usual_norm.assign(ops.where(counts, followed, mean))
        self._num_usual.assign_add(ops.cast(counts, "float32"))
        self.num_spikes.assign_add(ops.cast(is_spike, "float32"))
        return is_spike

    def _follow(self, updates: Any, window: int) -> None:
        """Let the averages follow; a batch that is only accumulated moves nothing."""
        if not self.averages:
            return
        done = ops.cast(ops.floor_divide(self._iterations, window), "float32")
        decay = ops.minimum(self.average_decay, (1 + done) / (10 + done))
        way = ops.where(updates, 1 - decay, 0.0)
        for average, variable in zip(self.averages, self._trainable_variables, strict=True):
            average.assign_add(ops.cast(way, average.dtype) * (variable.value - average.value))

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {
            **super().get_config(),
            "average_decay": self.average_decay,
            "spike_factor": self.spike_factor,
            "skips_spikes": self.skips_spikes,
        }


def global_norm(grads: Sequence[Any]) -> Any:
    """The square root of the sum of all squares, float32.

    Vectors, two thirds of the variables, are summed as one: each sum by itself is a launch or two.
    """
    present = [ops.cast(grad, "float32") for grad in grads if grad is not None]
    vectors = [ops.reshape(grad, (-1,)) for grad in present if len(grad.shape) < 2]
    parts = [grad for grad in present if len(grad.shape) >= 2]
    parts += [ops.concatenate(vectors)] if vectors else []
    return ops.sqrt(sum(ops.sum(ops.square(part)) for part in parts))


def make_optimizer(settings: TrainConfig, model: keras.Model) -> RecordingAdamW:
    """Make the optimizer of a built model; biases, norms and positions do not decay."""
    optimizer = RecordingAdamW(
        learning_rate=learning_rate_schedule(settings),
        weight_decay=settings.weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        global_clipnorm=settings.clip_norm or None,
        gradient_accumulation_steps=settings.accumulation_steps if settings.accumulation_steps > 1 else None,
        average_decay=settings.ema_decay,
        spike_factor=settings.spike_factor if settings.spike_policy != "none" else 0.0,
        skips_spikes=settings.spike_policy == "skip",
    )
    optimizer.exclude_from_weight_decay(var_list=undecayed_variables(model))
    return optimizer


def undecayed_variables(model: keras.Model) -> list[Any]:
    """Biases, of which a GRU has two rows, and norms, which are vectors, and the table of positions."""
    return [
        variable
        for variable in model.trainable_variables
        if len(variable.shape) < 2 or variable.name == "bias" or "position_embedding" in variable.path
    ]


@contextmanager
def averaged(optimizer: RecordingAdamW, model: keras.Model) -> Iterator[None]:
    """Let a model have the averages of its weights for a while; without averages it stays as it is."""
    variables = model.trainable_variables if optimizer.averages else []
    before = [ops.copy(variable.value) for variable in variables]
    for variable, average in zip(variables, optimizer.averages, strict=True):
        variable.assign(ops.copy(average.value))
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
