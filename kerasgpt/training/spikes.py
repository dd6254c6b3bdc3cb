"""Spikes of the gradient, seen from between the steps."""

from __future__ import annotations

from typing import Any

from kerasgpt.training.callbacks import StepCallback
from kerasgpt.training.learner import Learner
from kerasgpt.training.resume import RunState
from kerasgpt.training.settings import TrainConfig


class WatchSpikes(StepCallback):
    """Ends `fit` at a spike of the gradient, so that the run goes back behind it; comes second.

    Args:
        settings: of the training.
        state: of the run.
        learner: whose optimizer counts the spikes.
    """

    def __init__(self, settings: TrainConfig, state: RunState, learner: Learner) -> None:
        super().__init__(settings, state, every=1)
        self.optimizer = learner.optimizer

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras."""
        super().on_train_begin(logs)
        self._before = float(self.optimizer.num_spikes.numpy())

    def on_step(self, step: int, logs: dict[str, Any]) -> None:
        """Look."""
        model = self.model  # on JAX this brings the variables up to date
        if float(self.optimizer.num_spikes.numpy()) > self._before:
            self.state.rolls_back = True
            model.stop_training = True
