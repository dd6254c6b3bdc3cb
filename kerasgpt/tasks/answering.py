"""WrittenTask: tasks whose answer is written and then compared: translation, summaries, answers."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks import question_answering, summarization, translation
from kerasgpt.tasks.asking import fitted_prompts
from kerasgpt.tasks.base import Counts, Figures, Outcome
from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.metrics.bleu import bleu_counts, bleu_figures
from kerasgpt.tasks.metrics.rouge import rouge_counts, rouge_figures
from kerasgpt.tasks.metrics.squad import answer_counts, answer_figures
from kerasgpt.tasks.reading import read_records
from kerasgpt.tasks.templates import DEFAULTS, TaskTemplate, read_template

Baseline: TypeAlias = Callable[[Sequence[TaskRecord]], list[str]]


@dataclass(frozen=True)
class Judgement:
    """How the answers of a task are compared.

    Attributes:
        counts: a text and the right answers -> what it adds.
        figures: sums of these -> metrics.
        baselines: name -> the answers to records that cost no model.
    """

    counts: Callable[[str, Sequence[str]], dict[str, float]]
    figures: Callable[[Counts], Figures]
    baselines: Mapping[str, Baseline]


def majority(records: Sequence[TaskRecord]) -> list[str]:
    """The answer that is right most often among these very records, for all of them."""
    answers = Counter(answer for record in records for answer in dict.fromkeys(record.answers))
    return [answers.most_common(1)[0][0]] * len(records)


def each(answer: Callable[[TaskRecord], str]) -> Baseline:
    """A baseline that answers record by record."""
    return lambda records: [answer(record) for record in records]


JUDGEMENTS = {
    "completion": Judgement(answer_counts, answer_figures, {"majority": majority}),
    "translation": Judgement(bleu_counts, bleu_figures, {"copy": each(translation.copied)}),
    "summarization": Judgement(rouge_counts, rouge_figures, {"lead": each(summarization.lead)}),
    "question_answering": Judgement(
        answer_counts,
        answer_figures,
        {"majority": majority, "nearest sentence": each(question_answering.nearest_sentence)},
    ),
}


@dataclass(frozen=True)
class WrittenTask:
    """A task whose answers a model writes: a `kerasgpt.tasks.base.Task`.

    Args:
        template: how a record becomes a prompt; names the task. That of a fine-tuned model is in its folder.
        settings: how to write; None means greedily, with the template's longest answer. `echo` and
            `num_return_sequences` have no say: what is judged is one text, without its prompt.
    """

    template: TaskTemplate
    settings: GenerationConfig | None = None

    @property
    def name(self) -> str:
        """As on the command line."""
        return self.template.task

    @property
    def writing(self) -> GenerationConfig:
        """How answers are written."""
        if self.settings is None:
            return GenerationConfig(max_new_tokens=self.template.max_new_tokens)
        return dataclasses.replace(self.settings, echo=False, num_return_sequences=1)

    def read(self, paths: Sequence[str | Path], lm: LanguageModel) -> list[TaskRecord]:
        """Read and check all records; errors as in `kerasgpt.tasks.reading.read_records`."""
        return list(read_records(self.name, paths))

    def size(self, example: TaskRecord) -> int:
        """Characters of its prompt."""
        return len(self.template.text(example.fields))

    def answer(self, lm: LanguageModel, examples: Sequence[TaskRecord]) -> list[Outcome]:
        """Let a model write the answers; a record draws from the settings' seed + its own number.

        Raises:
            KerasGPTError: one does not fit into the model's context, even with nothing of its long field.
        """
        fields, places = [record.fields for record in examples], [record.place for record in examples]
        prompts = fitted_prompts(lm, self.template, fields, self.writing.max_new_tokens, places)
        writing: GenerationConfig | list[GenerationConfig] = self.writing
        # Where seeds have no say, rows of one setting are searched together.
        if not self.writing.is_greedy:
            writing = [
                dataclasses.replace(self.writing, seed=self.writing.seed + record.number - index)
                for index, record in enumerate(examples)  # generate adds the index again
            ]
        written = lm.generate([text for text, _ in prompts], writing)
        return [
            self.judge(record, generation.text.strip(), was_shortened)
            for record, generation, (_, was_shortened) in zip(examples, written, prompts, strict=True)
        ]

    def judge(self, record: TaskRecord, text: str, was_shortened: bool = False) -> Outcome:
        """Compare a text with a record's right answers."""
        counts = JUDGEMENTS[self.name].counts(text, record.answers)
        return Outcome({**counts, "shortened": float(was_shortened)}, {"prediction": text})

    def metrics(self, counts: Counts) -> Figures:
        """The task's figures, and how many prompts had to be shortened."""
        return {**JUDGEMENTS[self.name].figures(counts), "num_shortened": counts.get("shortened", 0.0)}

    def baselines(self, examples: Sequence[TaskRecord]) -> Mapping[str, Sequence[Outcome]]:
        """What costs no model, such as the first sentence of a text for its summary."""
        return {
            name: [self.judge(record, text) for record, text in zip(examples, answer(examples), strict=True)]
            for name, answer in JUDGEMENTS[self.name].baselines.items()
        }


def completion_task(
    folder: str | Path, template: str | None = None, settings: GenerationConfig | None = None
) -> WrittenTask:
    """Completion by a model; arguments as in `written_task`."""
    return written_task("completion", folder, template, settings)


def translation_task(
    folder: str | Path, template: str | None = None, settings: GenerationConfig | None = None
) -> WrittenTask:
    """Translation by a model; arguments as in `written_task`."""
    return written_task("translation", folder, template, settings)


def summarization_task(
    folder: str | Path, template: str | None = None, settings: GenerationConfig | None = None
) -> WrittenTask:
    """Summarization by a model; arguments as in `written_task`."""
    return written_task("summarization", folder, template, settings)


def question_answering_task(
    folder: str | Path, template: str | None = None, settings: GenerationConfig | None = None
) -> WrittenTask:
    """Question answering by a model; arguments as in `written_task`."""
    return written_task("question_answering", folder, template, settings)


def written_task(
    name: str, folder: str | Path, template: str | None = None, settings: GenerationConfig | None = None
) -> WrittenTask:
    """A task as a model is to do it.

    Args:
        name: of the task.
        folder: of the model; one that was fine-tuned on this task has its template there.
        template: of the prompt, in place of that; None means that, or the task's own.
        settings: how to write; None means greedily, with the template's longest answer.

    Raises:
        UsageError: the template lacks a field that it must have, or has one that the task has not.
    """
    kept = read_template(folder)
    own = kept if kept and kept.task == name else DEFAULTS[name]
    return WrittenTask(dataclasses.replace(own, prompt=template) if template else own, settings)
