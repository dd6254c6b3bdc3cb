"""An evaluation: examples of a task answered in batches by length, and the figures that come of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kerasgpt.errors import UsageError
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.base import ExampleT, Figures, Outcome, Task, totals
from kerasgpt.tasks.files.outcome_file import OutcomeFile
from kerasgpt.tasks.metrics.bootstrap import intervals

BATCH_SIZE = 32


@dataclass(frozen=True)
class Summary:
    """Figures of a corpus, and between which two values each lies in 95 of 100 others like it."""

    metrics: Figures
    intervals: dict[str, list[float]]


@dataclass(frozen=True)
class Result:
    """What an evaluation came to.

    Attributes:
        num_examples: that were answered.
        summary: of the model.
        baselines: name -> of what costs no model.
        outcomes: an example each, in the order of the data.
    """

    num_examples: int
    summary: Summary
    baselines: dict[str, Summary] = field(default_factory=dict)
    outcomes: Sequence[Outcome] = ()


def evaluate_task(
    task: Task[ExampleT],
    lm: LanguageModel,
    examples: Sequence[ExampleT],
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    file: str | os.PathLike[str] | None = None,
    subject: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Result:
    """Answer all examples, those of like length together and the longest first.

    Args:
        task: what to do.
        lm: any engine.
        examples: by ``task.read``.
        seed: of the intervals.
        batch_size: examples answered together, at most, and written to the file together.
        file: of outcomes; what it has already is not asked again.
        subject: what the file is of; see `OutcomeFile`.
        progress: told how many examples are done.

    Raises:
        UsageError: there are no examples, or `batch_size` is below 1.
        KerasGPTError: the file is of something else.
    """
    if not examples:
        raise UsageError(f"{task.name}: there is no example to evaluate; give data, or a limit above 0")
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}: it must be 1 or more")
    kept = None if file is None else OutcomeFile(file, subject or {})
    outcomes: dict[int, Outcome] = {} if kept is None else kept.outcomes
    progress(len(outcomes))
    for numbers in _batches([task.size(example) for example in examples], batch_size):
        if all(number in outcomes for number in numbers):
            continue  # a batch that was killed in the middle is answered again, whole as before
        chosen = [examples[number] for number in numbers]
        answers = task.answer(lm, chosen)
        outcomes.update(zip(numbers, answers, strict=True))
        if kept is not None:
            kept.add(numbers, [example.place for example in chosen], answers)
        progress(len(outcomes))
    ordered = [outcomes[number] for number in range(len(examples))]
    baselines = {name: summarize(task, rows, seed) for name, rows in task.baselines(examples).items()}
    return Result(len(examples), summarize(task, ordered, seed), baselines, ordered)


def summarize(task: Task[Any], outcomes: Sequence[Outcome], seed: int) -> Summary:
    """Figures of outcomes and their intervals."""
    return Summary(task.metrics(totals(outcomes)), intervals(task.metrics, outcomes, seed))


def _batches(sizes: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Numbers of examples, the longest first; those of one length in the order of the data."""
    order = sorted(range(len(sizes)), key=lambda number: -sizes[number])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
