"""A bundle as Beam's RunInference takes it: records in, answers out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from kerasgpt import checks
from kerasgpt.bulk import progress
from kerasgpt.bulk.answers import Answerer
from kerasgpt.bulk.records import TASKS, Record, Task
from kerasgpt.bulk.shards import ShardEntries
from kerasgpt.engines import load
from kerasgpt.errors import unknown_name
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tasks.templates import TaskTemplate

BATCHES_AT_ONCE = 8  # so many go to the model at a time, and it reads those of about equal length together


class BundleHandler(ModelHandler[Record, PredictionResult, Answerer]):
    """Generates and scores with a bundle, in a pipeline of your own or in `kerasgpt.bulk.pipeline`.

    Takes Records, also with a key of your own to each (Beam's KeyedModelHandler), and gives a
    PredictionResult each, whose `inference` is an Answer, or a Rejected for a bad record.

    Args:
        bundle: a folder that every worker sees at this path.
        task: ``"generate"`` or ``"score"``.
        settings: of generation; None means the default, greedy.
        engine: see `kerasgpt.load`.
        precision: see `kerasgpt.load`.
        num_threads: see `kerasgpt.load`.
        batch_size: records read together, at most.
        share_model: let the worker processes of a machine use one copy of the model.
        template: what prompts are put into, see `kerasgpt.tasks.templates.read_template`; None means that
            they are taken as they are.

    Raises:
        UsageError: no such task, or a batch size below 1.

    ```python
    answers = records | RunInference(BundleHandler("bundle", settings=GenerationConfig(max_new_tokens=20)))
    ```
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        task: Task = "generate",
        settings: GenerationConfig | None = None,
        *,
        engine: str = "auto",
        precision: str | None = None,
        num_threads: int | None = None,
        batch_size: int = 32,
        share_model: bool = False,
        template: TaskTemplate | None = None,
    ) -> None:
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
        at_once = BATCHES_AT_ONCE * checks.at_least("batch_size", batch_size, 1)
        super().__init__(min_batch_size=at_once, max_batch_size=at_once, large_model=share_model)
        self._bundle = os.fspath(bundle)
        self._task: Task = task
        self._settings = settings
        self._engine: Mapping[str, Any] = {
            "engine": engine,
            "precision": precision,
            "num_threads": num_threads,
        }
        self._batch_size = batch_size
        self._template = template

    def load_model(self) -> Answerer:
        """Open the bundle, once for each worker process.

        Raises:
            KerasGPTError: it cannot be opened, or cannot do the task or the settings.
        """
        lm = load(self._bundle, **self._engine)
        return Answerer(lm, self._task, self._settings, self._batch_size, self._template)

    def run_inference(
        self, batch: Sequence[Record], model: Answerer, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Answer records, each at its place."""
        outcomes = model.answers(batch)
        progress.count(outcomes)
        return [PredictionResult(*pair) for pair in zip(batch, outcomes, strict=True)]

    def get_metrics_namespace(self) -> str:
        """Of Beam's own numbers about inference, such as the latency of a batch."""
        return f"{progress.NAMESPACE}.RunInference"


class ShardHandler(ModelHandler[ShardEntries, ShardEntries, Answerer]):
    """Answers a whole shard at a time: one element in, one out.

    So a shard is complete without a shuffle, which in a batch job would hold back all until the last is
    answered, and what is read together is the same on every runner.

    Args:
        base: which answers the records of a shard.
    """

    def __init__(self, base: BundleHandler) -> None:
        super().__init__(large_model=base.share_model_across_processes())
        self._base = base

    def load_model(self) -> Answerer:
        """Open the bundle, once for each worker process."""
        return self._base.load_model()

    def should_skip_batching(self) -> bool:
        """Say that a shard is a batch."""
        return True

    def run_inference(
        self, batch: ShardEntries, model: Answerer, inference_args: dict[str, Any] | None = None
    ) -> Iterable[ShardEntries]:
        """Answer the records of a shard, and leave those that are rejected already."""
        records = [entry for entry in batch.entries if isinstance(entry, Record)]
        answers = iter([each.inference for each in self._base.run_inference(records, model)])
        entries = [next(answers) if isinstance(entry, Record) else entry for entry in batch.entries]
        return [ShardEntries(batch.number, tuple(entries))]

    def get_metrics_namespace(self) -> str:
        """That of the records' own handler."""
        return self._base.get_metrics_namespace()
