"""The loop around `fit`: a call for each stage of the sequence length, and after each spike gone behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import keras

from kerasgpt import artifacts
from kerasgpt.atomic import atomic_folder
from kerasgpt.data.feeding import fed
from kerasgpt.data.stepwise import StepwiseDataset
from kerasgpt.errors import KerasGPTError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.soft_prompt import with_soft_prompt
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.models.language_model import step_model
from kerasgpt.models.soft_prompt import SoftPromptCausalLM
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.callback_list import LazyCallbacks
from kerasgpt.training.callbacks import (
    CountSteps,
    EvaluateAndKeepBest,
    LogLosses,
    SaveAndStop,
)
from kerasgpt.training.config import Recipe
from kerasgpt.training.devices import Device, memory_bytes
from kerasgpt.training.distribution import own_rows
from kerasgpt.training.interruption import InterruptedRunError, Interruption, interruptible
from kerasgpt.training.journal import Journal
from kerasgpt.training.learner import Learner
from kerasgpt.training.lengths import ShorterWindows, stage_of
from kerasgpt.training.lora import save_adapters
from kerasgpt.training.losses import bits_per_byte
from kerasgpt.training.material import Material, sample_prompt, training_batches, validation_batches
from kerasgpt.training.processes import any_of, first_alone, is_first, num_processes, together
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
        corpus: what is learned from.
        state: of the run, kept up to date.
        device: that computes.
        quiet: show nothing.
        num_devices: over which the work is divided.
        datasets: that were trained on in this sitting.
    """

    recipe: Recipe
    run: Path
    learner: Learner
    tokenizer: Tokenizer
    corpus: Material
    state: RunState
    device: Device
    quiet: bool = False
    num_devices: int = 1
    datasets: list[StepwiseDataset] = field(default_factory=list)

    @property
    def settings(self) -> TrainConfig:
        """Of the training."""
        return self.recipe.train

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.run / artifacts.RUN_CHECKPOINTS

    def fit(self) -> None:
        """Train to the end of the run.

        Raises:
            InterruptedRunError: the user pressed Ctrl-C, or a signal came; all is saved.
            KerasGPTError: the loss is not finite, disk or memory is full; the last checkpoint is intact.
        """
        settings, state = self.settings, self.state
        with (
            Progress(settings.steps, state.step, quiet=self.quiet or not is_first()) as progress,
            interruptible(progress.note, progress.hush) as interruption,
        ):
            journal = Journal(self.run / artifacts.RUN_METRICS if is_first() else None, state.step)
            callbacks = self._callbacks(journal, progress, interruption)
            if settings.tensorboard:
                callbacks.insert(-1, self._histograms(journal))
            # All look before the first one writes.
            if settings.spike_policy == "rollback" and any_of(not checkpoints(self.checkpoints)):
                save_checkpoint(self.checkpoints, self.learner, state, settings)
            try:
                while not state.is_over:
                    self._fit_a_stage(callbacks)
                    if state.rolls_back:
                        self._roll_back(journal, progress)
                    elif self.learner.model.stop_training:
                        break  # as the user asked
            except Exception as error:
                raise self._explained(error) from error
        if not state.is_over or (settings.refit_steps and any_of(interruption.is_requested)):
            raise InterruptedRunError(
                f"stopped at step {state.step} of {settings.steps}, and all is saved: go on with"
                f" 'kerasgpt train --resume --out {self.run}'",
                interruption.number,
            )

    def _fit_a_stage(self, callbacks: list[keras.callbacks.Callback]) -> None:
        settings, state = self.settings, self.state
        stage = stage_of(settings, state.step)
        dataset = training_batches(
            self.corpus,
            self.recipe,
            self.tokenizer,
            (state.step + state.data_offset) * settings.accumulation_steps,
            (stage.end_step - state.step) * settings.accumulation_steps,
            own_rows(settings.batch_size),
        )
        self.datasets.append(dataset)
        is_whole = stage.length == settings.sequence_length
        data = dataset if is_whole else ShorterWindows(dataset, stage.length)
        model = self.learner.model
        model.fit(fed(data), epochs=1, shuffle=False, verbose=0, callbacks=LazyCallbacks(callbacks, model))

    def _callbacks(
        self, journal: Journal, progress: Progress, interruption: Interruption
    ) -> list[keras.callbacks.Callback]:
        settings, state, learner = self.settings, self.state, self.learner
        callbacks: list[keras.callbacks.Callback] = [CountSteps(settings, state, learner)]
        if settings.spike_policy == "rollback":
            callbacks.append(WatchSpikes(settings, state, learner))
        flops = flops_per_token(learner.model.config, settings.sequence_length)
        peak = peak_teraflops(settings, self.device)
        speedometer = Speedometer(flops, peak * self._num_peaks)
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
        if self.corpus.num_labels("validation"):
            callbacks.append(self._evaluation(journal, progress))
        callbacks.append(SaveAndStop(settings, state, learner, interruption, self.checkpoints))
        return callbacks

    def _evaluation(self, journal: Journal, progress: Progress) -> EvaluateAndKeepBest:
        num_labels, size = self.corpus.num_labels("validation"), self.corpus.sizes["validation"]
        prompt = sample_prompt(self.corpus, self.recipe, self.tokenizer)
        return EvaluateAndKeepBest(
            self.settings,
            self.state,
            self.learner,
            validation_batches(self.corpus, self.recipe, self.tokenizer, own_rows(self.settings.batch_size)),
            lambda loss: bits_per_byte(loss, num_labels, size.num_bytes),
            self.save_model,
            partial(self._write_sample, prompt),
            journal,
            progress,
        )

    def save_model(self, model: keras.Model) -> None:
        """Write a model, its tokenizer, and its adapters if it has any, in place of those that were there."""
        with first_alone(model) as is_writing:
            if is_writing:
                self._write_model(model)

    def _write_model(self, model: keras.Model) -> None:
        if self.recipe.lora.rank:
            folder = self.run / artifacts.RUN_ADAPTER
            save_adapters(model, self.recipe.lora, folder, base=self.recipe.model.init)
        with atomic_folder(self.run / artifacts.RUN_MODEL) as temporary:
            model.save_to_preset(temporary)
            self.tokenizer.save_to_preset(temporary, max_sequence_length=model.config.max_sequence_length)
            if self.recipe.task.name:
                template = self.recipe.task.template()
                template.write(temporary)
                answering = GenerationConfig(max_new_tokens=template.max_new_tokens)
                settings = answering.to_huggingface(model.config)
                artifacts.write_json(temporary / artifacts.GENERATION_CONFIG, settings)
            if isinstance(model, SoftPromptCausalLM):
                model.save_soft_prompt(temporary / artifacts.SOFT_PROMPT, base=self.recipe.model.init)

    @cached_property
    def _lm(self) -> StepLanguageModel:
        """The model as it is at each call; made once, since it is compiled at its first."""
        return StepLanguageModel(step_model(self.learner.model), self.tokenizer)

    def _write_sample(self, prompt: str, model: keras.Model) -> str:
        """A piece of text by the model as it is; of several processes the first writes it."""
        settings = self.settings
        if not settings.sample_tokens:
            return ""
        with first_alone(model) as is_writing:
            if not is_writing:
                return ""
            lm = self._lm
            if isinstance(model, SoftPromptCausalLM):
                lm = with_soft_prompt(lm, model.prompt)
            wanted = GenerationConfig(max_new_tokens=settings.sample_tokens, temperature=0.8, top_k=40)
            return prompt + lm.generate([prompt], wanted)[0].text

    def _histograms(self, journal: Journal) -> WriteHistograms:
        """What writes for TensorBoard, which is told the journal's records too; the first process alone."""
        if not is_first():
            return WriteHistograms(self.settings, self.state, lambda step, arrays: None)
        events = EventFile(self.run / artifacts.RUN_TENSORBOARD, self.state.step)
        journal.listeners.append(events.record)
        journal.when_dropped.append(events.drop_after)
        return WriteHistograms(self.settings, self.state, events.histograms)

    @property
    def _num_peaks(self) -> int:
        """Of how many devices the best is known one by one; the cores of a CPU are measured all at once."""
        return self.num_devices if self.device.kind == "gpu" else num_processes()

    def _roll_back(self, journal: Journal, progress: Progress) -> None:
        """Go back to the last checkpoint, and on from there with the data after the spike."""
        spike, passed_over, before = self.state.step, self.state.data_offset, self.state.num_rollbacks
        if before == MOST_ROLLBACKS:
            raise KerasGPTError(
                f"the gradient has spiked again at step {spike}, after going back {before} times: try a"
                f" learning rate below {self.settings.learning_rate}"
            )
        seconds, evaluating = self.state.seconds, self.state.evaluation_seconds
        best = self.state.best_loss, self.state.best_step  # of the model in the run's folder
        self.state.become(restore_checkpoint(self.checkpoints, self.learner, progress.note))
        self.state.data_offset = passed_over + spike - self.state.step
        self.state.num_rollbacks = before + 1
        self.state.seconds, self.state.evaluation_seconds = seconds, evaluating
        self.state.best_loss, self.state.best_step = best
        with together():
            pass  # until all have read it: now it is written anew
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
