"""Checkpoints of a run: every variable and the run's state, so that training goes on as if never stopped."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kerasgpt.artifacts import sha256_of, write_json
from kerasgpt.atomic import CannotWriteError, atomic_folder
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError
from kerasgpt.training.learner import Learner
from kerasgpt.training.processes import is_first, read, together
from kerasgpt.training.settings import TrainConfig

ARRAYS = "variables.safetensors"
STATE = "state.json"
HASHES = "hashes.json"
_TRAINED = "trained_variables"  # in state.json, beside the state

Arrays = dict[str, NDArray[Any]]


@dataclass
class RunState:
    """Where a run stands.

    Attributes:
        step: updates done.
        data_offset: updates whose data was passed over, by going back behind a spike and on after it; or by
            which the data is ahead of the updates (or behind, below 0) since batches were of another size.
        num_rollbacks: how often it went back to the last checkpoint.
        rolls_back: whether the step just done is a spike to go back behind.
        seconds: spent training and evaluating, in all sittings.
        evaluation_seconds: of these, spent evaluating.
        train_loss: last logged, nats per token.
        validation_loss: last measured, nats per token; None before the first evaluation.
        best_loss: lowest validation loss.
        best_step: where it was.
        evaluations_since_best: without a lower one.
        counted_steps: the updates before another recipe, with windows or batches of another size.
        counted_tokens: what they read.
        is_over: whether no more steps are to come.
        environment: what it is computed with, see `kerasgpt.training.environment`.
    """

    step: int = 0
    data_offset: int = 0
    num_rollbacks: int = 0
    rolls_back: bool = False
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    train_loss: float | None = None
    validation_loss: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0
    counted_steps: int = 0
    counted_tokens: int = 0
    is_over: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def training_seconds(self) -> float:
        """Spent on steps alone."""
        return self.seconds - self.evaluation_seconds

    def tokens_seen(self, settings: TrainConfig) -> int:
        """Read so far, the latest updates under these settings; what was gone back behind is not counted."""
        return self.counted_tokens + (self.step - self.counted_steps) * settings.tokens_per_step

    def note_validation(self, loss: float) -> bool:
        """Take in an evaluation; whether it is the best so far."""
        self.validation_loss = loss
        before = math.inf if self.best_loss is None or math.isnan(self.best_loss) else self.best_loss
        is_best = loss < before  # never of what is no finite number
        if is_best:
            self.best_loss, self.best_step = loss, self.step
        self.evaluations_since_best = 0 if is_best else self.evaluations_since_best + 1
        return is_best

    def is_enough(self, settings: TrainConfig) -> bool:
        """Whether all steps are done, or there was no better evaluation for long."""
        patience = settings.early_stopping_patience
        return self.step >= settings.steps or 0 < patience <= self.evaluations_since_best

    def begin_anew(
        self,
        records: Iterable[Mapping[str, Any]],
        before: TrainConfig,
        now: TrainConfig,
        *,
        is_comparable: bool,
    ) -> None:
        """Go on under another recipe or with other data: with all patience, and the best model that is there.

        Args:
            records: of the journal. Its evaluations after the checkpoint will not come again, but the model
                in the run's folder may be that of one of them.
            before: the settings so far.
            now: those from here on. Where their batches are of another size the data goes on where it was, up
                to a part of a batch.
            is_comparable: whether losses of before are on the same validation data, of which there is some,
                and over windows of the same kind.
        """
        self.counted_tokens, self.counted_steps = self.tokens_seen(before), self.step
        read = (self.step + self.data_offset) * before.tokens_per_step
        self.data_offset = read // now.tokens_per_step - self.step
        self.evaluations_since_best = 0
        if not is_comparable:
            self.best_loss, self.validation_loss, self.best_step = None, None, 0
            return
        for record in records:
            loss = record.get("validation_loss")
            best = math.inf if self.best_loss is None else self.best_loss
            if loss is not None and record["step"] > self.step and loss < best:
                self.best_loss, self.best_step = loss, record["step"]

    def become(self, other: RunState) -> None:
        """Take over all of another state, for those that hold this one."""
        self.__dict__.update(dataclasses.replace(other).__dict__)


def save_checkpoint(root: Path, learner: Learner, state: RunState, settings: TrainConfig) -> Path:
    """Write a checkpoint atomically, then drop those that the settings do not keep.

    Of several processes each has to call this, and the first writes, all arrays whole.

    Args:
        root: the folder of checkpoints.
        learner: what to save.
        state: of the run.
        settings: which to keep.

    Raises:
        KerasGPTError: it cannot be written, or holds weights that are not finite; those that were there are
            as before.
    """
    folder = root / f"step-{state.step:08d}"
    arrays = _read_variables(learner)
    refuse_damage(arrays, state.step)
    with together():
        if is_first():
            _write(folder, learner, arrays, state)
            _drop_others(root, state, settings)
    return folder


def _write(folder: Path, learner: Learner, arrays: Arrays, state: RunState) -> None:
    with atomic_folder(folder) as temporary:
        try:
            save_file(arrays, temporary / ARRAYS)
        except SafetensorError as error:  # it wraps the operating system's error
            raise CannotWriteError(folder, str(error)) from error
        write_json(temporary / STATE, {**dataclasses.asdict(state), _TRAINED: _trained(learner)})
        write_json(temporary / HASHES, {name: sha256_of(temporary / name) for name in (ARRAYS, STATE)})


def refuse_damage(arrays: Arrays, step: int) -> None:
    """Refuse weights and moments that are not all finite; the last gradient's norm alone may be.

    Raises:
        KerasGPTError: there are such.
    """
    for name, array in arrays.items():
        if array.ndim and array.dtype.kind == "f" and not np.isfinite([array.min(), array.max()]).all():
            raise KerasGPTError(f"after step {step} weights are not finite ({name})")


def _drop_others(root: Path, state: RunState, settings: TrainConfig) -> None:
    """Keep the newest, the best and every so many; later ones are of a course that was left."""
    steps = {_step_of(folder): folder for folder in checkpoints(root)}
    newest = sorted(step for step in steps if step <= state.step)[-settings.keep_last_checkpoints :]
    kept = set(newest)
    if settings.keep_best_checkpoint:
        kept.add(state.best_step)
    if every := settings.keep_checkpoint_every:
        kept |= {step for step in steps if step % every == 0 and step <= state.step}
    for step in steps.keys() - kept:
        shutil.rmtree(steps[step], ignore_errors=True)


def restore_checkpoint(
    root: Path, learner: Learner, say: Callable[[str], None] = lambda line: None
) -> RunState:
    """Set a learner to the newest checkpoint that is whole.

    Args:
        root: the folder of checkpoints.
        learner: made from the same recipe.
        say: told of a checkpoint that is damaged and passed over.

    Returns:
        The state of the run; a fresh one where there is no checkpoint.

    Raises:
        KerasGPTError: there are checkpoints and none is whole, or they are of another model or optimizer.
    """
    failures: list[KerasGPTError] = []
    for folder in checkpoints(root):
        try:
            arrays, state, trained = _read_checkpoint(folder)
        except KerasGPTError as error:
            failures.append(error)
            continue
        for failure in failures:
            say(f"{failure}: going on from {folder.name}")
        _require_same_variables(folder, learner, arrays, trained)
        for name, variable in _variables(learner).items():
            variable.assign(ops.convert_to_tensor(arrays[name], dtype=variable.dtype))
        return state
    if failures:
        raise failures[0]
    return RunState()


def checkpoints(root: Path) -> list[Path]:
    """Folders of checkpoints, the newest first; a copy by another name, ``step-00000100-keep``, is none."""
    ours = [folder for folder in root.glob("step-*") if folder.name.removeprefix("step-").isdigit()]
    return sorted(ours, key=_step_of, reverse=True)


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _read_checkpoint(folder: Path) -> tuple[Arrays, RunState, list[str] | None]:
    """Arrays, state, and which variables are trained; None where a checkpoint does not say so yet."""
    try:
        hashes = read_json(folder / HASHES)
        for name in (ARRAYS, STATE):
            if sha256_of(folder / name) != hashes.get(name):
                raise KerasGPTError(f"{name} is not as it was written")
        arrays: Arrays = load_file(folder / ARRAYS)
        state = read_json(folder / STATE)
        trained = state.pop(_TRAINED, None)
        return arrays, RunState(**state), trained
    except (OSError, SafetensorError, TypeError, KerasGPTError) as error:
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
    return {name: read(variable) for name, variable in _variables(learner).items()}


def _trained(learner: Learner) -> list[str]:
    """What the optimizer's state belongs to; without the model's name, which Keras numbers in a process."""
    return [variable.path.partition("/")[2] for variable in learner.model.trainable_variables]


def _require_same_variables(
    folder: Path, learner: Learner, arrays: Arrays, trained: list[str] | None
) -> None:
    """Refuse a checkpoint whose arrays belong to other variables, before any is assigned."""
    wanted = {name: tuple(variable.shape) for name, variable in _variables(learner).items()}
    found = {name: array.shape for name, array in arrays.items()}
    if _of_group("model", wanted) != _of_group("model", found):
        raise KerasGPTError(
            f"{folder}: is a checkpoint of another model, or of one with dropout where this recipe's has"
            " none or the other way round: leave model.dropout as it was, or choose another run folder"
        )
    if wanted != found or trained not in (None, _trained(learner)):
        raise KerasGPTError(
            f"{folder}: its optimizer has another state than this recipe's (train.freeze, train.ema_decay,"
            " train.spike_policy and train.precision say which): leave these as they were, or choose another"
            " run folder"
        )


def _of_group(group: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in shapes.items() if name.startswith(f"{group}.")}
