"""What happens between steps: log, evaluate and keep the best, stop, save."""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgpt.data.feeding import fed
from kerasgpt.errors import KerasGPTError
from kerasgpt.training.interruption import Interruption
from kerasgpt.training.journal import Journal
from kerasgpt.training.learner import Learner
from kerasgpt.training.losses import NATS
from kerasgpt.training.optimizer import averaged
from kerasgpt.training.processes import any_of, num_processes
from kerasgpt.training.progress import Progress
from kerasgpt.training.resume import RunState, save_checkpoint
from kerasgpt.training.schedule import learning_rate_schedule
from kerasgpt.training.settings import TrainConfig
from kerasgpt.training.throughput import Speedometer


class StepCallback(keras.callbacks.Callback, abc.ABC):
    """Calls `on_step` after each update of the weights, which may take several batches.

    Args:
        settings: of the training.
        state: of the run, shared by all callbacks.
        every: steps between calls; the last step of the run is always one.
    """

    def __init__(self, settings: TrainConfig, state: RunState, every: int) -> None:
        super().__init__()
        self.settings = settings
        self.state = state
        self.every = every
        self.first_step = state.step

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras; a run may take several calls of `fit`."""
        self.first_step = self.state.step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras after each batch."""
        batches = batch + 1
        if batches % self.settings.accumulation_steps:
            return
        step = self.first_step + batches // self.settings.accumulation_steps
        if self.state.rolls_back:
            return  # this step will not have been
        if step % self.every == 0 or step == self.settings.steps or self.state.is_over:
            self.on_step(step, logs or {})

    @abc.abstractmethod
    def on_step(self, step: int, logs: dict[str, Any]) -> None:
        """What to do."""


class CountSteps(StepCallback):
    """Keeps the run's state up to date; comes first.

    Args:
        settings: of the training.
        state: of the run.
        learner: whose running metric a resumed run goes on with.
    """

    def __init__(self, settings: TrainConfig, state: RunState, learner: Learner) -> None:
        super().__init__(settings, state, every=1)
        self._metric = learner.metric

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras, before it resets the running metric."""
        super().on_train_begin(logs)
        self._metric_values = [np.array(value.numpy()) for value in self._metric.variables]
        self._seconds_before = self.state.seconds
        self._began = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras just after it has reset the running metric: a resumed run goes on with its own."""
        for variable, value in zip(self._metric.variables, self._metric_values, strict=True):
            variable.assign(ops.convert_to_tensor(value))

    def on_step(self, step: int, logs: dict[str, Any]) -> None:
        """Count."""
        self.state.step = step
        self.state.is_over = step == self.settings.steps
        if self.state.is_over or step % self.settings.log_every == 0:
            float(logs[NATS])  # the steps so far may be on their way yet: their time is part of this
        self.state.seconds = self._seconds_before + time.perf_counter() - self._began


class LogLosses(StepCallback):
    """Writes a line of metrics.jsonl and moves the bar.

    Args:
        settings: of the training.
        state: of the run.
        learner: whose optimizer knows the norm of the gradient.
        journal: to write to.
        progress: to show.
        speedometer: knows the arithmetic.
        memory_bytes: what the process holds.
        waited_seconds: that training has waited for its input so far, at most.
    """

    def __init__(
        self,
        settings: TrainConfig,
        state: RunState,
        learner: Learner,
        journal: Journal,
        progress: Progress,
        speedometer: Speedometer,
        memory_bytes: Callable[[], int],
        waited_seconds: Callable[[], float],
    ) -> None:
        super().__init__(settings, state, settings.log_every)
        self.learner = learner
        self.schedule = learning_rate_schedule(settings)
        self.journal = journal
        self.progress = progress
        self.speedometer = speedometer
        self.memory_bytes = memory_bytes
        self.waited_seconds = waited_seconds
        self._last_waited = 0.0
        self._last_step, self._last_seconds = state.step, state.training_seconds
        journal.when_dropped.append(self._go_back)

    def on_step(self, step: int, logs: dict[str, Any]) -> None:
        """Log the mean loss since the last line."""
        model = self.model  # on JAX this brings the variables up to date
        # And not that of the logs, which under MirroredStrategy is the mean of the replicas' means.
        loss = self.state.train_loss = float(self.learner.metric.result())
        if not math.isfinite(loss):
            raise KerasGPTError(
                f"the loss is {loss} at step {step}: try a learning rate below {self.settings.learning_rate}"
            )
        facts = {
            "loss": loss,
            "learning_rate": float(self.schedule(self._num_batches() - 1)),  # of the update just done
            "grad_norm": float(self.learner.optimizer.gradient_norm.numpy()),
            **self._speed(step),
            "memory_bytes": self.memory_bytes(),
        }
        if self.settings.spike_policy == "skip":
            facts["skipped_steps"] = int(self.learner.optimizer.num_spikes.numpy())
        self.journal.write({"step": step, **facts})
        self.progress.step(step, **facts)
        model.reset_metrics()

    def _num_batches(self) -> int:
        """Those that the weights were changed by: scaled losses that overflow are left out."""
        return max(1, int(self.learner.optimizer._iterations.numpy()))

    def _go_back(self, step: int) -> None:
        """The run has gone back to a step: its speed is counted from here."""
        self._last_step, self._last_seconds = step, self.state.training_seconds
        self._last_waited = self.waited_seconds()

    def _speed(self, step: int) -> dict[str, float]:
        last_step, self._last_step = self._last_step, step
        seconds = self.state.training_seconds - self._last_seconds
        self._last_seconds = self.state.training_seconds
        waited = self.waited_seconds() - self._last_waited
        self._last_waited += waited
        facts = self.speedometer.read((step - last_step) * self.settings.tokens_per_step, seconds)
        # What was made ahead during an evaluation, whose time does not count, can be more than all.
        return facts | ({"input_share": min(waited / seconds, 1.0)} if seconds > 0 else {})


class EvaluateAndKeepBest(StepCallback):
    """Measures the validation loss, keeps the best model, and stops when there is none for long.

    Args:
        settings: of the training.
        state: of the run.
        learner: whose optimizer may hold averages of the weights, which then are what is measured and saved.
        validation: every token of the validation part, once.
        bits_per_byte: nats per token -> bits per byte of the validation text.
        save_model: writes the model that is best so far.
        write_sample: a piece of text by the model as it is.
        journal: to write to.
        progress: to show.
    """

    def __init__(
        self,
        settings: TrainConfig,
        state: RunState,
        learner: Learner,
        validation: keras.utils.PyDataset,
        bits_per_byte: Callable[[float], float],
        save_model: Callable[[keras.Model], None],
        write_sample: Callable[[keras.Model], str],
        journal: Journal,
        progress: Progress,
    ) -> None:
        super().__init__(settings, state, settings.evaluate_every)
        self.optimizer = learner.optimizer
        self.validation = validation
        self.bits_per_byte = bits_per_byte
        self.save_model = save_model
        self.write_sample = write_sample
        self.journal = journal
        self.progress = progress

    def on_step(self, step: int, logs: dict[str, Any]) -> None:
        """Evaluate."""
        train_loss = float(logs[NATS])  # waits for the steps on their way, which are no part of this
        began = time.perf_counter()
        model = self.model
        with kept_metrics(model), averaged(self.optimizer, model):
            loss = float(model.evaluate(fed(self.validation), verbose=0, return_dict=True)[NATS])
            if self.state.note_validation(loss):
                self.save_model(model)
            sample = self.write_sample(model)
        bits = self.bits_per_byte(loss)
        record = {"step": step, "validation_loss": loss, "bits_per_byte": bits}
        self.journal.write({**record, "sample": sample} if sample else record)
        patience = self.settings.early_stopping_patience
        if patience and self.state.evaluations_since_best >= patience:
            self.state.is_over = True
            self.state.train_loss = train_loss  # no line will be written any more
            self.progress.note(f"no better evaluation since step {self.state.best_step}: stopping")
        self.progress.evaluation(step, sample, validation_loss=loss, bits_per_byte=bits)
        seconds = time.perf_counter() - began
        self.state.evaluation_seconds += seconds
        self.state.seconds += seconds  # after the last step nobody else does


class SaveAndStop(StepCallback):
    """Writes checkpoints, and ends `fit` when the run is over or the user asks; comes last.

    Args:
        settings: of the training.
        state: of the run.
        learner: what to save.
        interruption: the user's wish to stop.
        root: the folder of checkpoints.
    """

    def __init__(
        self,
        settings: TrainConfig,
        state: RunState,
        learner: Learner,
        interruption: Interruption,
        root: Path,
    ) -> None:
        super().__init__(settings, state, every=1)
        self.learner = learner
        self.interruption = interruption
        self.root = root

    def on_step(self, step: int, logs: dict[str, Any]) -> None:
        """Save when due, stop when due."""
        stops = self.state.is_over or self._is_asked_to_stop(step)
        is_best = self.settings.keep_best_checkpoint and self.state.best_step == step
        if stops or is_best or step % self.settings.checkpoint_every == 0:
            model = self.model  # on JAX this brings the variables up to date
            self.state.num_rollbacks = 0  # past the spikes so far
            save_checkpoint(self.root, self.learner, self.state, self.settings)
            model.stop_training = stops

    def _is_asked_to_stop(self, step: int) -> bool:
        """Whether to stop here; processes agree on it, and wait for each other only when they do anyway."""
        is_due = num_processes() == 1 or step % self.settings.log_every == 0
        return is_due and any_of(self.interruption.is_requested)


@contextmanager
def kept_metrics(model: keras.Model) -> Iterator[None]:
    """Evaluate in the midst of `fit` without losing the running metrics of the training."""
    values = [np.array(variable.numpy()) for variable in model.metrics_variables]
    yield
    for variable, value in zip(model.metrics_variables, values, strict=True):
        variable.assign(ops.convert_to_tensor(value))
