"""Checkpoints of a run: every variable and the run's state, so that training goes on as if never stopped."""

from __future__ import annotations

import dataclasses
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kerasgpt.artifacts import write_json
from kerasgpt.atomic import atomic_folder
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError
from kerasgpt.training.learner import Learner

ARRAYS = "variables.safetensors"
STATE = "state.json"
KEPT = 2  # checkpoints: the newest, and the one before in case the newest cannot be read

Arrays = dict[str, NDArray[Any]]


@dataclass
class RunState:
    """Where a run stands.

    Attributes:
        step: updates done.
        seconds: spent training and evaluating, in all sittings.
        evaluation_seconds: of these, spent evaluating.
        train_loss: last logged, nats per token.
        validation_loss: last measured, nats per token; None before the first evaluation.
        best_loss: lowest validation loss.
        best_step: where it was.
        evaluations_since_best: without a lower one.
        is_over: whether no more steps are to come.
    """

    step: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    train_loss: float | None = None
    validation_loss: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0
    is_over: bool = False

    @property
    def training_seconds(self) -> float:
        """Spent on steps alone."""
        return self.seconds - self.evaluation_seconds

    def note_validation(self, loss: float) -> bool:
        """Take in an evaluation; whether it is the best so far."""
        self.validation_loss = loss
        is_best = self.best_loss is None or loss < self.best_loss or math.isnan(self.best_loss)
        if is_best:
            self.best_loss, self.best_step = loss, self.step
        self.evaluations_since_best = 0 if is_best else self.evaluations_since_best + 1
        return is_best


def save_checkpoint(root: Path, learner: Learner, state: RunState) -> Path:
    """Write a checkpoint atomically, then drop all but the last `KEPT`.

    Args:
        root: the folder of checkpoints.
        learner: what to save.
        state: of the run.

    Raises:
        KerasGPTError: it cannot be written; those that were there are as before.
    """
    folder = root / f"step-{state.step:08d}"
    with atomic_folder(folder) as temporary:
        try:
            save_file(_read_variables(learner), temporary / ARRAYS)
        except SafetensorError as error:  # it wraps the operating system's error
            raise OSError(None, str(error)) from error
        write_json(temporary / STATE, dataclasses.asdict(state))
    for old in _checkpoints(root)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def restore_checkpoint(root: Path, learner: Learner) -> RunState:
    """Set a learner to the newest checkpoint that can be read.

    Args:
        root: the folder of checkpoints.
        learner: made from the same recipe.

    Returns:
        The state of the run; a fresh one where there is no checkpoint.

    Raises:
        KerasGPTError: there are checkpoints and none can be read, or they are of another model.
    """
    failure: KerasGPTError | None = None
    for folder in _checkpoints(root):
        try:
            arrays, state = _read_checkpoint(folder)
        except KerasGPTError as error:
            failure = failure or error
            continue
        _assign(folder, learner, arrays)
        return state
    if failure is not None:
        raise failure
    return RunState()


def _checkpoints(root: Path) -> list[Path]:
    """The newest first."""
    return sorted(root.glob("step-*"), reverse=True)


def _read_checkpoint(folder: Path) -> tuple[Arrays, RunState]:
    try:
        arrays: Arrays = load_file(folder / ARRAYS)
        return arrays, RunState(**read_json(folder / STATE))
    except (OSError, SafetensorError, TypeError) as error:
        raise KerasGPTError(f"{folder}: cannot read this checkpoint ({error}); delete it") from error


def _variables(learner: Learner) -> dict[str, Any]:
    """Weights, seeds of dropout, the optimizer's state and the running metric, numbered as they were made."""
    metrics = {id(variable) for variable in learner.model.metrics_variables}
    groups = {
        "model": [variable for variable in learner.model.variables if id(variable) not in metrics],
        "optimizer": learner.model.optimizer.variables,
        "metric": learner.metric.variables,
    }
    return {
        f"{group}.{index:04d}": variable
        for group, variables in groups.items()
        for index, variable in enumerate(variables)
    }


def _read_variables(learner: Learner) -> Arrays:
    # A copy: where the backend's numpy view shares memory, the next update would change it.
    return {name: np.array(value.numpy()) for name, value in _variables(learner).items()}


def _assign(folder: Path, learner: Learner, arrays: Arrays) -> None:
    table = _variables(learner)
    if {name: tuple(variable.shape) for name, variable in table.items()} != {
        name: array.shape for name, array in arrays.items()
    }:
        raise KerasGPTError(f"{folder}: is a checkpoint of another model; choose another run folder")
    for name, variable in table.items():
        variable.assign(ops.convert_to_tensor(arrays[name], dtype=variable.dtype))
