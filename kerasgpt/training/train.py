"""The recipe, run from the first byte to the last: data, vocabulary, model, `fit`, and what came of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import keras

from kerasgpt import artifacts
from kerasgpt.artifacts import write_json
from kerasgpt.atomic import atomic_folder, write_text
from kerasgpt.checkpoints.formats import open_tokenizer
from kerasgpt.config import GenerationConfig, read_json
from kerasgpt.data.corpus import Corpus
from kerasgpt.data.packing import PackedCorpus, pack
from kerasgpt.data.pipeline import TokenDataset, require_batch
from kerasgpt.errors import UsageError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.models.language_model import KerasStepModel
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.callbacks import CountSteps, EvaluateAndKeepBest, LogLosses, SaveAndStop
from kerasgpt.training.config import DataConfig, Recipe, TrainConfig
from kerasgpt.training.interruption import InterruptedRunError, interruptible
from kerasgpt.training.journal import Journal, draw_losses, read_journal
from kerasgpt.training.learner import Learner, make_learner
from kerasgpt.training.losses import bits_per_byte
from kerasgpt.training.progress import Progress
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
    quiet: bool = False,
) -> Run:
    """Train a model from raw text and keep the best.

    Args:
        recipe: what to train on what and how.
        out: the run's folder.
        resume: go on with the run that is there; without one, start it; when it is finished, return it.
        quiet: show nothing while it trains.

    Returns:
        The run, whose ``model/`` is a Hugging Face folder.

    Raises:
        UsageError: a setting does not fit; or the folder holds a run, and `resume` is not set.
        KerasGPTError: the data cannot be read, or is shorter than one window; a run that has not begun
            leaves nothing behind.
        InterruptedRunError: the user pressed Ctrl-C; all is saved, and the sentence says how to go on.

    ```python
    recipe = kerasgpt.Recipe.from_dict({"data": {"paths": ["story.txt"]}, "train": {"steps": 200}})
    run = kerasgpt.train(recipe, "runs/story")
    ```
    """
    run, recipe = Path(out), recipe.resolved()
    _check_folder(run, recipe, resume)
    if (run / artifacts.RUN_SUMMARY).is_file():
        return Run.read(run)

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
    learner = make_learner(recipe, tokenizer)
    state = restore_checkpoint(run / artifacts.RUN_CHECKPOINTS, learner)
    _begin(run, recipe, tokenizer)
    if not state.is_over:
        _fit(recipe, run, learner, tokenizer, corpus, state, quiet)
    if state.best_loss is None:  # without a validation part, the last model is the best there is
        _save_model(learner.model, run / artifacts.RUN_MODEL, tokenizer)
    refit = _refit(recipe, run, quiet) if recipe.train.refit_steps else None
    records = read_journal(run / artifacts.RUN_METRICS)
    if refit:  # drawn after the steps before it
        later = read_journal(refit.folder / artifacts.RUN_METRICS)
        records += [{**record, "step": state.step + record["step"]} for record in later]
    draw_losses(records, run / artifacts.RUN_PLOT)
    summary = sum_up(run / artifacts.RUN_MODEL, recipe, corpus, state, refit.summary if refit else None)
    write_json(run / artifacts.RUN_SUMMARY, summary)
    return Run(run, summary)


def _check_folder(run: Path, recipe: Recipe, resume: bool) -> None:
    """Refuse to overwrite a run, or to go on with one under other settings."""
    config = run / artifacts.RUN_CONFIG
    if not config.is_file():
        if run.is_dir() and any(run.iterdir()):
            raise UsageError(f"{run}: is a folder with other things in it; choose another --out")
        return
    if not resume:
        raise UsageError(f"{run}: holds a run already: go on with it by --resume, or choose another --out")
    if difference := Recipe.from_toml(config).difference(recipe):
        raise UsageError(
            f"{run}: this run was begun with another {difference} (see {config}):"
            f" resume it without new settings, or choose another --out"
        )


def _tokenizer_of(data: DataConfig, run: Path) -> Tokenizer:
    """Load the tokenizer, or learn it from the part of the text that is trained on."""
    if data.tokenizer != "learn":
        return open_tokenizer(data.tokenizer)
    if (run / artifacts.RUN_MODEL / artifacts.TOKENIZER).is_file():
        return Tokenizer.from_preset(run)
    corpus = Corpus.of(data.paths, data.division(), data.errors, data.deduplicate, bool(data.weights))
    return Tokenizer.learn(corpus.training_texts(), data.vocabulary_size)


def _begin(run: Path, recipe: Recipe, tokenizer: Tokenizer) -> None:
    """Make the run's folder, with what a resumed run must find in it."""
    if not (run / artifacts.RUN_MODEL / artifacts.TOKENIZER).is_file():
        tokenizer.save_to_preset(run / artifacts.RUN_MODEL)
    write_text(run / artifacts.RUN_CONFIG, recipe.to_toml())


def _fit(
    recipe: Recipe,
    run: Path,
    learner: Learner,
    tokenizer: Tokenizer,
    corpus: PackedCorpus,
    state: RunState,
    quiet: bool,
) -> None:
    settings, weights = recipe.train, recipe.data.weights
    end_of_text_id = tokenizer.end_of_text_id if recipe.data.document_mask else None
    journal = Journal(run / artifacts.RUN_METRICS, state.step)
    batches = settings.accumulation_steps
    data = TokenDataset(
        corpus.ids_by_source("train") if weights else corpus.ids("train"),
        settings.sequence_length,
        settings.batch_size,
        settings.seed,
        first_step=state.step * batches,
        num_steps=(settings.steps - state.step) * batches,
        weights=weights,
        end_of_text_id=end_of_text_id,
    )
    save = partial(_save_model, folder=run / artifacts.RUN_MODEL, tokenizer=tokenizer)
    with (
        Progress(settings.steps, state.step, quiet=quiet) as progress,
        interruptible(progress.note) as interruption,
    ):
        callbacks: list[keras.callbacks.Callback] = [
            CountSteps(settings, state, learner),
            LogLosses(settings, state, learner, journal, progress),
        ]
        if corpus.sizes["validation"].num_tokens > 1:
            validation = TokenDataset(
                corpus.ids("validation"),
                settings.sequence_length,
                settings.batch_size,
                seed=None,
                end_of_text_id=end_of_text_id,
            )
            sample = partial(_write_sample, tokenizer=tokenizer, settings=settings)
            measure = partial(_bits_per_byte, corpus=corpus, part="validation")
            callbacks.append(
                EvaluateAndKeepBest(settings, state, validation, measure, save, sample, journal, progress)
            )
        checkpoints = run / artifacts.RUN_CHECKPOINTS
        callbacks.append(SaveAndStop(settings, state, learner, interruption, checkpoints))
        learner.model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=callbacks)
    if not state.is_over:
        raise InterruptedRunError(
            f"stopped at step {state.step} of {settings.steps}, and all is saved: go on with"
            f" 'kerasgpt train --resume --out {run}'"
        )


def _save_model(model: keras.Model, folder: Path, tokenizer: Tokenizer) -> None:
    with atomic_folder(folder) as temporary:
        model.save_to_preset(temporary)
        tokenizer.save_to_preset(temporary, max_sequence_length=model.config.max_sequence_length)


def _write_sample(model: keras.Model, tokenizer: Tokenizer, settings: TrainConfig) -> str:
    if not settings.sample_tokens:
        return ""
    lm = StepLanguageModel(KerasStepModel(model), tokenizer)
    wanted = GenerationConfig(max_new_tokens=settings.sample_tokens, temperature=0.8, top_k=40)
    return settings.sample_prompt + lm.generate([settings.sample_prompt], wanted)[0].text


def _bits_per_byte(loss: float, corpus: PackedCorpus, part: Any) -> float:
    size = corpus.sizes[part]
    return bits_per_byte(loss, size.num_tokens - 1, size.num_bytes)


def _refit(recipe: Recipe, run: Path, quiet: bool) -> Run:
    """Go on from the best model with the validation part as well, in a run of its own; take over its model.

    The validation part has done its work once the best model is chosen, and then is text like any other.
    """
    model, folder = run / artifacts.RUN_MODEL, run / artifacts.RUN_REFIT
    steps = recipe.train.refit_steps
    Progress(steps, quiet=quiet).note(
        f"refit: {steps} steps from the best model on, validation part included"
    )
    try:
        refit = train(recipe.refit(model), folder, resume=True, quiet=quiet)
    except InterruptedRunError as stopped:
        raise InterruptedRunError(
            f"stopped in the refit, and all is saved: go on with 'kerasgpt train --resume --out {run}'"
        ) from stopped
    with atomic_folder(model) as temporary:
        shutil.copytree(refit.model_folder, temporary, dirs_exist_ok=True)
    return refit
