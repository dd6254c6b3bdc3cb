"""The recipe, run from the first byte to the last: data, vocabulary, model, `fit`, and what came of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras

from kerasgpt import artifacts
from kerasgpt.artifacts import write_json
from kerasgpt.atomic import atomic_folder, write_text
from kerasgpt.checkpoints.formats import open_tokenizer
from kerasgpt.config import read_json
from kerasgpt.data.corpus import Corpus
from kerasgpt.data.packing import pack
from kerasgpt.data.pipeline import require_batch
from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.config import DataConfig, Recipe
from kerasgpt.training.devices import Device, choose_device
from kerasgpt.training.environment import DATA, changes, environment
from kerasgpt.training.fitting import Sitting
from kerasgpt.training.interruption import InterruptedRunError
from kerasgpt.training.journal import draw_losses, read_journal
from kerasgpt.training.learner import make_learner
from kerasgpt.training.lengths import stages
from kerasgpt.training.lock import locked
from kerasgpt.training.optimizer import averaged
from kerasgpt.training.progress import Progress
from kerasgpt.training.report import write_report
from kerasgpt.training.resume import RunState, restore_checkpoint
from kerasgpt.training.summary import sum_up


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
        force: resume it also with another recipe, or with data that has changed since.
        device: ``"auto"`` takes a GPU where there is one, ``"cpu"`` does not, ``"gpu"`` insists.
        quiet: show nothing while it trains.

    Returns:
        The run, whose ``model/`` is a Hugging Face folder.

    Raises:
        UsageError: a setting does not fit; or the folder holds a run, and `resume` is not set.
        KerasGPTError: the data cannot be read, or is shorter than one window; another process trains in that
            folder; no GPU is there; the loss is not finite, or the disk full. A run that has not begun
            leaves nothing behind, and of one that has the last checkpoint is intact.
        InterruptedRunError: the user pressed Ctrl-C; all is saved, and the sentence says how to go on.

    ```python
    recipe = kerasgpt.Recipe.from_dict({"data": {"paths": ["story.txt"]}, "train": {"steps": 200}})
    run = kerasgpt.train(recipe, "runs/story")
    ```
    """
    run, recipe = Path(out), recipe.resolved()
    stages(recipe.train)  # refuses lengths that do not fit before anything is done
    chosen, say = choose_device(device), Progress(recipe.train.steps, quiet=quiet).note
    with locked(run):
        changed = _check_folder(run, recipe, resume, force)
        if (run / artifacts.RUN_SUMMARY).is_file() and not changed:
            return Run.read(run)
        for line in changed:
            say(f"going on with another recipe: {line}")
        return _run(run, recipe, chosen, say, force=force, quiet=quiet)


def _run(
    run: Path, recipe: Recipe, device: Device, say: Callable[[str], None], *, force: bool, quiet: bool
) -> Run:
    """Train, with the folder locked and all that can be known beforehand checked."""
    tokenizer = _tokenizer_of(recipe.data, run)
    corpus = pack(
        recipe.data.paths,
        tokenizer,
        recipe.data.division(),
        errors=recipe.data.errors,
        deduplicate=recipe.data.deduplicate,
        separate=bool(recipe.data.weights),
    )
    train_ids, sizes = corpus.ids("train"), recipe.train
    require_batch(train_ids, sizes.sequence_length, sizes.batch_size, recipe.data.paths)
    learner = make_learner(recipe, tokenizer, say)
    state = restore_checkpoint(run / artifacts.RUN_CHECKPOINTS, learner, say)
    _note_environment(state, environment(device, corpus), run, say, force)
    state.is_over = state.is_enough(recipe.train)  # a forced recipe may have more steps
    if not state.is_over:  # what it came to before, with fewer steps, is no result of this recipe
        (run / artifacts.RUN_SUMMARY).unlink(missing_ok=True)
    _begin(run, recipe, tokenizer)
    sitting = Sitting(recipe, run, learner, tokenizer, corpus, state, device, quiet)
    if not state.is_over:
        say(f"training on {device}, by {keras.backend.backend()}")
        sitting.fit()
    if state.best_loss is None:  # without a validation part, the last model is the best there is
        with averaged(learner.optimizer, learner.model):
            sitting.save_model(learner.model)
    refit = _refit(recipe, run, device, force=force, quiet=quiet) if recipe.train.refit_steps else None
    records = read_journal(run / artifacts.RUN_METRICS)
    if refit:  # drawn after the steps before it
        later = read_journal(refit.folder / artifacts.RUN_METRICS)
        records += [{**record, "step": state.step + record["step"]} for record in later]
    draw_losses(records, run / artifacts.RUN_PLOT)
    summary = sum_up(run / artifacts.RUN_MODEL, recipe, corpus, state, refit.summary if refit else None)
    write_report(run / artifacts.RUN_REPORT, run.resolve().name, recipe, summary, records, state.environment)
    write_json(run / artifacts.RUN_SUMMARY, summary)
    return Run(run, summary)


def _check_folder(run: Path, recipe: Recipe, resume: bool, force: bool) -> list[str]:
    """Refuse to overwrite a run; give how its recipe differs from this one, refused too unless forced."""
    config = run / artifacts.RUN_CONFIG
    if not config.is_file():
        if any(run.iterdir()):
            raise UsageError(f"{run}: is a folder with other things in it; choose another --out")
        return []
    if not resume:
        raise UsageError(f"{run}: holds a run already: go on with it by --resume, or choose another --out")
    changed = Recipe.from_toml(config).differences(recipe)
    if changed and not force:
        raise UsageError(
            f"{run}: this run was begun with another recipe ({'; '.join(changed)}): resume it without new"
            " settings, add --force to go on with these, or choose another --out"
        )
    return changed


def _note_environment(
    state: RunState, now: dict[str, str], run: Path, say: Callable[[str], None], force: bool
) -> None:
    """Name what is no longer as it was at the checkpoint; other data is refused unless forced."""
    changed = changes(state.environment, now) if state.environment else []
    for line in changed:
        if line.startswith(f"{DATA}:") and not force:
            raise UsageError(
                f"{run}: the data is another than this run was begun with ({line}): bring it back, add"
                " --force to go on with it, or choose another --out"
            )
        say(f"since the checkpoint this has changed, and with it the last bits of all numbers: {line}")
    state.environment = now


def _tokenizer_of(data: DataConfig, run: Path) -> Tokenizer:
    """Load the tokenizer, or learn it from the part of the text that is trained on."""
    if data.tokenizer != "learn":
        return open_tokenizer(data.tokenizer)
    if (run / artifacts.RUN_MODEL / artifacts.TOKENIZER).is_file():
        return Tokenizer.from_preset(run)
    corpus = Corpus.of(data.paths, data.division(), data.errors, data.deduplicate, bool(data.weights))
    return Tokenizer.learn(corpus.training_texts(), data.vocabulary_size)


def _begin(run: Path, recipe: Recipe, tokenizer: Tokenizer) -> None:
    """Put into the run's folder what a resumed run must find, the recipe first: it makes the rest anew."""
    write_text(run / artifacts.RUN_CONFIG, recipe.to_toml())
    if not (run / artifacts.RUN_MODEL / artifacts.TOKENIZER).is_file():
        with atomic_folder(run / artifacts.RUN_MODEL) as temporary:
            tokenizer.save_to_preset(temporary)


def _refit(recipe: Recipe, run: Path, device: Device, *, force: bool, quiet: bool) -> Run:
    """Go on from the best model with the validation part as well, in a run of its own; take over its model.

    The validation part has done its work once the best model is chosen, and then is text like any other.
    """
    model, folder = run / artifacts.RUN_MODEL, run / artifacts.RUN_REFIT
    steps = recipe.train.refit_steps
    Progress(steps, quiet=quiet).note(
        f"refit: {steps} steps from the best model on, validation part included"
    )
    try:
        again = recipe.refit(model)
        refit = train(again, folder, resume=True, force=force, device=device.kind, quiet=quiet)
    except InterruptedRunError as stopped:
        raise InterruptedRunError(
            f"stopped in the refit, and all is saved: go on with 'kerasgpt train --resume --out {run}'"
        ) from stopped
    with atomic_folder(model) as temporary:
        shutil.copytree(refit.model_folder, temporary, dirs_exist_ok=True)
    return refit
