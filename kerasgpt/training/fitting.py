"""The loop around `fit`: a call for each stage of the sequence length, and after each spike gone behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras

from kerasgpt import artifacts
from kerasgpt.atomic import atomic_folder
from kerasgpt.config import GenerationConfig
from kerasgpt.data.packing import PackedCorpus
from kerasgpt.data.pipeline import TokenDataset
from kerasgpt.errors import KerasGPTError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.soft_prompt import with_soft_prompt
from kerasgpt.models.language_model import KerasStepModel
from kerasgpt.models.soft_prompt import SoftPromptCausalLM
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.callbacks import (
    CountSteps,
    EvaluateAndKeepBest,
    LogLosses,
    SaveAndStop,
)
from kerasgpt.training.config import Recipe
from kerasgpt.training.devices import Device, memory_bytes
from kerasgpt.training.interruption import InterruptedRunError, Interruption, interruptible
from kerasgpt.training.journal import Journal
from kerasgpt.training.learner import Learner
from kerasgpt.training.lengths import ShorterWindows, stage_of
from kerasgpt.training.lora import save_adapters
from kerasgpt.training.losses import bits_per_byte
from kerasgpt.training.progress import Progress
from kerasgpt.training.resume import RunState, checkpoints, restore_checkpoint, save_checkpoint
from kerasgpt.training.settings import TrainConfig
from kerasgpt.training.spikes import WatchSpikes
from kerasgpt.training.tensorboard import EventFile, WriteHistograms
from kerasgpt.training.throughput import Speedometer, flops_per_token, peak_teraflops

MOST_ROLLBACKS = 10


@dataclass(frozen=True)
class Sitting:
    """What one sitting of a run works on.

    Attributes:
        recipe: of the run.
        run: its folder.
        learner: what learns.
        tokenizer: of the text.
        corpus: of ids.
        state: of the run, kept up to date.
        device: that computes.
        quiet: show nothing.
        datasets: that were trained on in this sitting.
    """

    recipe: Recipe
    run: Path
    learner: Learner
    tokenizer: Tokenizer
    corpus: PackedCorpus
    state: RunState
    device: Device
    quiet: bool = False
    datasets: list[TokenDataset] = field(default_factory=list)

    @property
    def settings(self) -> TrainConfig:
        """Of the training."""
        return self.recipe.train

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.run / artifacts.RUN_CHECKPOINTS

    @property
    def _end_of_text_id(self) -> int | None:
        """What parts documents, if each is to see itself alone."""
        return self.tokenizer.end_of_text_id if self.recipe.data.document_mask else None

    def fit(self) -> None:
        """Train to the end of the run.

        Raises:
            InterruptedRunError: the user pressed Ctrl-C; all is saved.
            KerasGPTError: the loss is not finite, disk or memory is full; the last checkpoint is intact.
        """
        settings, state = self.settings, self.state
        with (
            Progress(settings.steps, state.step, quiet=self.quiet) as progress,
            interruptible(progress.note) as interruption,
        ):
            journal = Journal(self.run / artifacts.RUN_METRICS, state.step)
            callbacks = self._callbacks(journal, progress, interruption)
            if settings.tensorboard:
                events = EventFile(self.run / artifacts.RUN_TENSORBOARD)
                journal.listeners.append(events.record)
                callbacks.insert(1, WriteHistograms(settings, state, events.histograms))
            if settings.spike_policy == "rollback" and not checkpoints(self.checkpoints):
                save_checkpoint(self.checkpoints, self.learner, state, settings)
            try:
                while not (state.is_over or interruption.is_requested):
                    self._fit_a_stage(callbacks)
                    if state.rolls_back:
                        self._roll_back(journal, progress)
            except Exception as error:
                raise self._explained(error) from error
        if not state.is_over:
            raise InterruptedRunError(
                f"stopped at step {state.step} of {settings.steps}, and all is saved: go on with"
                f" 'kerasgpt train --resume --out {self.run}'"
            )

    def _fit_a_stage(self, callbacks: list[keras.callbacks.Callback]) -> None:
        settings, state = self.settings, self.state
        stage, weights = stage_of(settings, state.step), self.recipe.data.weights
        dataset = TokenDataset(
            self.corpus.ids_by_source("train") if weights else self.corpus.ids("train"),
            settings.sequence_length,
            settings.batch_size,
            settings.seed,
            first_step=(state.step + state.data_offset) * settings.accumulation_steps,
            num_steps=(stage.end_step - state.step) * settings.accumulation_steps,
            weights=weights,
            end_of_text_id=self._end_of_text_id,
        )
        self.datasets.append(dataset)
        is_whole = stage.length == settings.sequence_length
        data = dataset if is_whole else ShorterWindows(dataset, stage.length)
        self.learner.model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=callbacks)

    def _callbacks(
        self, journal: Journal, progress: Progress, interruption: Interruption
    ) -> list[keras.callbacks.Callback]:
        settings, state, learner = self.settings, self.state, self.learner
        callbacks: list[keras.callbacks.Callback] = [CountSteps(settings, state, learner)]
        if settings.spike_policy == "rollback":
            callbacks.append(WatchSpikes(settings, state, learner))
        flops = flops_per_token(learner.model.config, settings.sequence_length)
        speedometer = Speedometer(flops, peak_teraflops(settings, self.device))
        memory = partial(memory_bytes, self.device)
        callbacks.append(
            LogLosses(
                settings,
                state,
                learner,
                journal,
                progress,
                speedometer,
                memory,
                lambda: sum(dataset.waited_seconds for dataset in self.datasets),
            )
        )
        if self.corpus.sizes["validation"].num_tokens > 1:
            callbacks.append(self._evaluation(journal, progress))
        callbacks.append(SaveAndStop(settings, state, learner, interruption, self.checkpoints))
        return callbacks

    def _evaluation(self, journal: Journal, progress: Progress) -> EvaluateAndKeepBest:
        settings, size = self.settings, self.corpus.sizes["validation"]
        return EvaluateAndKeepBest(
            settings,
            self.state,
            self.learner,
            TokenDataset(
                self.corpus.ids("validation"),
                settings.sequence_length,
                settings.batch_size,
                seed=None,
                end_of_text_id=self._end_of_text_id,
            ),
            lambda loss: bits_per_byte(loss, size.num_tokens - 1, size.num_bytes),
            self.save_model,
            partial(_write_sample, tokenizer=self.tokenizer, settings=settings),
            journal,
            progress,
        )

    def save_model(self, model: keras.Model) -> None:
        """Write a model, its tokenizer, and its adapters if it has any, in place of those that were there."""
        if self.recipe.lora.rank:
            folder = self.run / artifacts.RUN_ADAPTER
            save_adapters(model, self.recipe.lora, folder, base=self.recipe.model.init)
        with atomic_folder(self.run / artifacts.RUN_MODEL) as temporary:
            model.save_to_preset(temporary)
            self.tokenizer.save_to_preset(temporary, max_sequence_length=model.config.max_sequence_length)
            if isinstance(model, SoftPromptCausalLM):
                model.save_soft_prompt(temporary / artifacts.SOFT_PROMPT, base=self.recipe.model.init)

    def _roll_back(self, journal: Journal, progress: Progress) -> None:
        """Go back to the last checkpoint, and on from there with the data after the spike."""
        spike, passed_over, before = self.state.step, self.state.data_offset, self.state.num_rollbacks
        if before == MOST_ROLLBACKS:
            raise KerasGPTError(
                f"the gradient has spiked again at step {spike}, after going back {before} times: try a"
                f" learning rate below {self.settings.learning_rate}"
            )
        seconds, evaluating = self.state.seconds, self.state.evaluation_seconds
        self.state.become(restore_checkpoint(self.checkpoints, self.learner, progress.note))
        self.state.data_offset = passed_over + spike - self.state.step
        self.state.num_rollbacks = before + 1
        self.state.seconds, self.state.evaluation_seconds = seconds, evaluating
        # At once, so that a run killed now goes on in the same way.
        save_checkpoint(self.checkpoints, self.learner, self.state, self.settings)
        journal.drop_after(self.state.step)
        progress.note(
            f"the gradient spiked at step {spike}: back to step {self.state.step}, and on with the data after"
        )

    def _explained(self, error: Exception) -> Exception:
        """The error as a sentence that says where the run stands."""
        if _is_out_of_memory(error):
            error = KerasGPTError(
                f"a batch of {self.settings.batch_size} x {self.settings.sequence_length} tokens does not fit"
                " in memory: lower train.batch_size and raise train.accumulation_steps, or lower"
                " train.sequence_length"
            )
        if not isinstance(error, KerasGPTError):
            return error
        saved = checkpoints(self.checkpoints)
        if not saved:
            return KerasGPTError(f"{error} (there is no checkpoint yet)")
        how = f"go on from there with 'kerasgpt train --resume --out {self.run}'"
        return KerasGPTError(f"{error}; the checkpoint {saved[0].name} is intact: {how}")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a backend, each in its words, says so."""
    words = (type(error).__name__ + str(error)[:2000]).lower().replace("_", " ")
    signs = ("resource exhausted", "resourceexhausted", "out of memory")
    return isinstance(error, MemoryError) or any(sign in words for sign in signs)


def _write_sample(model: keras.Model, tokenizer: Tokenizer, settings: TrainConfig) -> str:
    if not settings.sample_tokens:
        return ""
    lm = StepLanguageModel(KerasStepModel(model), tokenizer)
    if isinstance(model, SoftPromptCausalLM):
        lm = with_soft_prompt(lm, model.prompt)
    wanted = GenerationConfig(max_new_tokens=settings.sample_tokens, temperature=0.8, top_k=40)
    return settings.sample_prompt + lm.generate([settings.sample_prompt], wanted)[0].text
