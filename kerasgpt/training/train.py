"""The recipe, run from the first byte to the last: data, vocabulary, model, `fit`, and what came of it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras

from kerasgpt import artifacts
from kerasgpt.artifacts import write_json
from kerasgpt.atomic import CannotWriteError, atomic_folder, write_text
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.config import Recipe
from kerasgpt.training.devices import Device, choose_device
from kerasgpt.training.distribution import described, distributed, require_engine
from kerasgpt.training.environment import DATA, DEVICES, VALIDATION, changed_facts, environment
from kerasgpt.training.fitting import Sitting
from kerasgpt.training.interruption import InterruptedRunError
from kerasgpt.training.journal import draw_losses, read_journal
from kerasgpt.training.learner import Learner, make_learner, model_config
from kerasgpt.training.lengths import stages
from kerasgpt.training.lock import locked
from kerasgpt.training.material import Material, keep_test_part, open_material
from kerasgpt.training.optimizer import averaged
from kerasgpt.training.processes import is_first, require_same, together, while_all_live
from kerasgpt.training.progress import Progress
from kerasgpt.training.report import write_report
from kerasgpt.training.resume import RunState, checkpoints, restore_checkpoint, save_checkpoint
from kerasgpt.training.summary import sum_up
from kerasgpt.training.values import refuse_unspellable


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: with the best model in ``model/``.
        summary: what ``summary.json`` holds.
    """

    folder: Path
    summary: dict[str, Any]

    @property
    def model_folder(self) -> Path:
        """The best model, in Hugging Face form."""
        return self.folder / artifacts.RUN_MODEL

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Self:
        """Open the folder of a finished run.

        Raises:
            KerasGPTError: there is none.
        """
        return cls(Path(folder), read_json(Path(folder) / artifacts.RUN_SUMMARY))


def train(
    recipe: Recipe,
    out: str | os.PathLike[str] = "runs/train",
    *,
    resume: bool = False,
    force: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Run:
    """Train a model from raw text and keep the best.

    Args:
        recipe: what to train on what and how.
        out: the run's folder.
        resume: go on with the run that is there; without one, start it; when it is finished, return it.
        force: resume it also with another recipe, on another number of devices, or with data that has changed
            since.
        device: ``"auto"`` takes a GPU where there is one, ``"cpu"`` does not, ``"gpu"`` insists.
        quiet: show nothing while it trains.

    In several processes (`kerasgpt.training.processes`) each calls this with the same arguments.

    Returns:
        The run, whose ``model/`` is a Hugging Face folder.

    Raises:
        UsageError: a setting does not fit, or the backend cannot do it; the folder holds a run, and `resume`
            is not set.
        KerasGPTError: the data cannot be read, or is shorter than one window; another process trains in that
            folder; no GPU is there; the loss is not finite, or the disk full. A run that has not begun
            leaves nothing behind, and of one that has the last checkpoint is intact.
        InterruptedRunError: the user pressed Ctrl-C, or SIGTERM or SIGHUP came; all is saved, and the
            sentence says how to go on.

    ```python
    recipe = kerasgpt.Recipe.from_dict({"data": {"paths": ["story.txt"]}, "train": {"steps": 200}})
    run = kerasgpt.train(recipe, "runs/story")
    ```
    """
    refuse_unspellable(os.fspath(out))
    run, recipe = Path(out), recipe.resolved()
    stages(recipe.train)  # refuses lengths that do not fit before anything is done
    require_engine(recipe.train)
    chosen = choose_device(device)
    say = Progress(recipe.train.steps, quiet=quiet or not is_first()).note
    with ExitStack() as held:
        held.enter_context(while_all_live())
        with together():  # the one that writes makes the folder
            if is_first():
                held.enter_context(locked(run))
        with together():
            changed = _check_folder(run, recipe, resume, force)
            is_done = (run / artifacts.RUN_SUMMARY).is_file() and not changed
        if is_done:
            return Run.read(run)
        for line in changed:
            say(f"going on with another recipe: {line}")
        return _run(run, recipe, chosen, say, force=force, quiet=quiet, is_changed=bool(changed))


def _run(
    run: Path,
    recipe: Recipe,
    device: Device,
    say: Callable[[str], None],
    *,
    force: bool,
    quiet: bool,
    is_changed: bool,
) -> Run:
    """Train, with the folder locked and all that can be known beforehand checked."""
    sizes = recipe.train
    with together():
        tokenizer, corpus = open_material(recipe, run, say)
        config = model_config(recipe.model, sizes.sequence_length, tokenizer)
    with distributed(sizes, config) as num_devices:
        now = environment(device, corpus, described(sizes, num_devices))
        _require_same(run, recipe, now)  # before any variable is made, which all have to make alike
        learner = make_learner(recipe, tokenizer, say)
        state = restore_checkpoint(run / artifacts.RUN_CHECKPOINTS, learner, say)
        changed = changed_facts(state.environment, now, run, say, force=force)
        state.environment = now
        if is_changed or changed & {DATA, VALIDATION}:
            _begin_anew(run, recipe, learner, state, is_comparable=VALIDATION not in changed)
        state.is_over = state.is_enough(sizes)  # a forced recipe may have more steps
        with together():
            if is_first():
                _begin(run, recipe, tokenizer, corpus, state)
        sitting = Sitting(recipe, run, learner, tokenizer, corpus, state, device, quiet, num_devices)
        if not state.is_over:
            say(f"training on {now.get(DEVICES, device)}, by {keras.backend.backend()}")
            sitting.fit()
        if state.best_loss is None:  # without a validation part, the last model is the best there is
            if state.validation_loss is not None:
                say("no evaluation gave a finite loss: the last model is kept")
            with averaged(learner.optimizer, learner.model):
                sitting.save_model(learner.model)
    refit = _refit(recipe, run, device, force=force, quiet=quiet) if recipe.train.refit_steps else None
    with together():
        if is_first():
            _conclude(run, recipe, corpus, state, refit)
    return Run.read(run)


def _conclude(run: Path, recipe: Recipe, corpus: Material, state: RunState, refit: Run | None) -> None:
    """Write what came of a run; its summary last, which says that it is finished."""
    records = read_journal(run / artifacts.RUN_METRICS)
    if refit:  # drawn after the steps before it
        later = read_journal(refit.folder / artifacts.RUN_METRICS)
        records += [{**record, "step": state.step + record["step"]} for record in later]
    draw_losses(records, run / artifacts.RUN_PLOT)
    summary = sum_up(run / artifacts.RUN_MODEL, recipe, corpus, state, refit.summary if refit else None)
    write_report(run / artifacts.RUN_REPORT, run.resolve().name, recipe, summary, records, state.environment)
    write_json(run / artifacts.RUN_SUMMARY, summary)


def _check_folder(run: Path, recipe: Recipe, resume: bool, force: bool) -> list[str]:
    """Refuse to overwrite a run; give how its recipe differs from this one, refused too unless forced."""
    config = run / artifacts.RUN_CONFIG
    if not run.is_dir():
        raise KerasGPTError(
            f"{run}: is not the folder that process 0 has made; name one that all of them see"
        )
    if not config.is_file():
        if any(run.iterdir()):
            raise UsageError(f"{run}: is a folder with other things in it; choose another --out")
        return []
    if not resume:
        raise UsageError(f"{run}: holds a run already: go on with it by --resume, or choose another --out")
    changed = _begun(run, recipe).differences(recipe)
    if changed and not force:
        raise UsageError(
            f"{run}: this run was begun with another recipe ({'; '.join(changed)}): resume it without new"
            " settings, add --force to go on with these, or choose another --out"
        )
    if changed and (run / artifacts.RUN_REFIT).exists():
        raise UsageError(
            f"{run}: was refitted, validation part included, and its model is of that: with another recipe"
            f" ({'; '.join(changed)}) begin anew in another --out, from this model by --init {run}"
        )
    for line in changed:
        if line.startswith("train.accumulation_steps:") and checkpoints(run / artifacts.RUN_CHECKPOINTS):
            raise UsageError(
                f"{run}: its optimizer counts batches, so that {line} is not possible in the midst of a run:"
                " leave it as it was and change train.batch_size, or choose another --out"
            )
    return changed


def _begun(run: Path, recipe: Recipe) -> Recipe:
    """The recipe that a run was begun with; a refit's names its parent's model where that is now."""
    begun = Recipe.from_toml(run / artifacts.RUN_CONFIG)
    model = os.path.abspath(run.parent / artifacts.RUN_MODEL)
    if run.name != artifacts.RUN_REFIT or recipe.model.init != model:
        return begun
    return dataclasses.replace(
        begun, data=dataclasses.replace(begun.data, tokenizer=model), model=recipe.model
    )


def _require_same(run: Path, recipe: Recipe, now: dict[str, str]) -> None:
    """Refuse processes that would not train the same model from the same step on."""
    saved = [folder.name for folder in checkpoints(run / artifacts.RUN_CHECKPOINTS)]
    facts = {name: value for name, value in now.items() if name != "device"}  # it only changes the last bits
    digest = hashlib.sha256(recipe.to_toml().encode()).hexdigest()[:12]
    require_same({**facts, "recipe": digest, "list of checkpoints": ", ".join(saved[:9]) or "empty"})


def _begin_anew(run: Path, recipe: Recipe, learner: Learner, state: RunState, *, is_comparable: bool) -> None:
    """Go on under another recipe, from a checkpoint that knows of the best model before."""
    records = read_journal(run / artifacts.RUN_METRICS)
    begun = _begun(run, recipe)
    if state.step < recipe.train.steps and not recipe.task.name:
        # Of running text a loss is of windows like those learned from. Where no step is left, none comes.
        before, now = ((each.train.sequence_length, each.data.document_mask) for each in (begun, recipe))
        is_comparable = is_comparable and before == now
    state.begin_anew(records, begun.train, recipe.train, is_comparable=is_comparable)
    state.is_over = state.is_enough(recipe.train)
    with together():
        pass  # until all have read checkpoint and journal: now they are written anew
    if state.step or state.best_loss is not None:
        # At once, before recipe and journal, so that a run killed now goes on in the same way.
        try:
            save_checkpoint(run / artifacts.RUN_CHECKPOINTS, learner, state, recipe.train)
        except CannotWriteError as error:
            kept = f"step-{state.step:08} is intact" if state.step else "the run is as it was"
            raise KerasGPTError(f"{error}; {kept}: go on with the same command") from error


def _begin(run: Path, recipe: Recipe, tokenizer: Tokenizer, corpus: Material, state: RunState) -> None:
    """Put into the run's folder what a resumed run must find, the recipe first: it makes the rest anew."""
    if not state.is_over:  # what it came to before, with fewer steps, is no result of this recipe
        (run / artifacts.RUN_SUMMARY).unlink(missing_ok=True)
    write_text(run / artifacts.RUN_CONFIG, recipe.to_toml())
    keep_test_part(corpus, recipe, run)
    if not (run / artifacts.RUN_MODEL / artifacts.TOKENIZER).is_file():
        with atomic_folder(run / artifacts.RUN_MODEL) as temporary:
            tokenizer.save_to_preset(temporary)


def _refit(recipe: Recipe, run: Path, device: Device, *, force: bool, quiet: bool) -> Run:
    """Go on from the best model with the validation part as well, in a run of its own; take over its model.

    The validation part has done its work once the best model is chosen, and then is text like any other.
    """
    model, folder = run / artifacts.RUN_MODEL, run / artifacts.RUN_REFIT
    steps = recipe.train.refit_steps
    Progress(steps, quiet=quiet or not is_first()).note(
        f"refit: {steps} steps from the best model on, validation part included"
    )
    try:
        again = recipe.refit(model)
        refit = train(again, folder, resume=True, force=force, device=device.kind, quiet=quiet)
    except InterruptedRunError as stopped:
        raise InterruptedRunError(
            f"stopped in the refit, and all is saved: go on with 'kerasgpt train --resume --out {run}'",
            stopped.number,
        ) from stopped
    with together():
        if is_first():
            with atomic_folder(model) as temporary:
                shutil.copytree(refit.model_folder, temporary, dirs_exist_ok=True)
    return refit
