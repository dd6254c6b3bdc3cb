"""The pipeline: shards of records -> RunInference -> files; the same on every runner."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference

from kerasgpt.bulk import progress, storage
from kerasgpt.bulk.handler import BundleHandler, ShardHandler
from kerasgpt.bulk.job import JOB, Job, alone, begin, confirm, forget
from kerasgpt.bulk.output import Output
from kerasgpt.bulk.progress import Distribution
from kerasgpt.bulk.records import Rejected, Task
from kerasgpt.bulk.runners import DIRECT, cause, is_direct, opened_pipeline
from kerasgpt.bulk.shards import Shard, ShardEntries, read, survey
from kerasgpt.bulk.worker_processes import watched
from kerasgpt.errors import KerasGPTError


@dataclass(frozen=True)
class Summary:
    """What came of a run.

    Attributes:
        output: where the answers are.
        num_shards: of the job.
        num_skipped_shards: that an earlier run had finished.
        seconds: of the pipeline.
        counters: see `kerasgpt.bulk.progress.COUNTERS`; of this run.
        distributions: see `kerasgpt.bulk.progress.DISTRIBUTIONS`; of this run.
    """

    output: str
    num_shards: int
    num_skipped_shards: int
    seconds: float
    counters: dict[str, int]
    distributions: dict[str, Distribution]


class ReadShard(beam.DoFn):
    """Reads the records of a shard.

    Args:
        task: what they are for.
        fields: of a task's template, which a record may have in place of a prompt.
    """

    def __init__(self, task: Task, fields: Sequence[str] = ()) -> None:
        self._task: Task = task
        self._fields = tuple(fields)

    def process(self, element: Shard) -> Iterable[ShardEntries]:
        """Give its records, bad ones as what they are."""
        found = read(element, self._task, self._fields)
        progress.count_rejected(sum(isinstance(entry, Rejected) for entry in found.entries))
        yield found


class WriteShard(beam.DoFn):
    """Writes a shard whose records are answered.

    Args:
        output: where to.
    """

    def __init__(self, output: Output) -> None:
        self._output = output

    def process(self, element: ShardEntries) -> Iterable[int]:
        """Write it, and give its number; a shard that a runner repeats is written again, the same."""
        self._output.write(element)
        progress.count_shard()
        yield element.number


def build(
    pipeline: Any,
    shards: Sequence[Shard],
    handler: BundleHandler,
    task: Task,
    output: Output,
    fields: Sequence[str] = (),
) -> Any:
    """Add the steps to a pipeline: each shard is read, answered and written, on whichever worker it comes to.

    Args:
        pipeline: of Beam.
        shards: to be done.
        handler: which answers them.
        task: what their records are for.
        output: where to write.
        fields: of a task's template, which a record may have in place of a prompt.

    Returns:
        The numbers of the shards written, a PCollection.
    """
    return (
        pipeline
        | "Shards" >> beam.Create(shards, reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(ReadShard(task, fields))
        | "Answer" >> RunInference(ShardHandler(handler))
        | "Write" >> beam.ParDo(WriteShard(output))
    )


def run(
    job: Job,
    *,
    resume: bool = False,
    runner: str = DIRECT,
    options: Sequence[str] = (),
    num_threads: int | None = None,
    share_model: bool = False,
) -> Summary:
    """Do a job, or what is left of it.

    Args:
        job: what to do.
        resume: whether to leave the shards that are finished and go on with the others.
        runner: of Beam, by its name; DirectRunner works in this process.
        options: of the pipeline, as on Beam's command lines, such as ``--direct_num_workers=2``.
        num_threads: of ONNX Runtime, in each worker process.
        share_model: let the worker processes of a machine use one copy of the model.

    Raises:
        UsageError: something was written already and `resume` is not said, or it was begun otherwise; no
            such runner.
        KerasGPTError: the pipeline fails; what it had finished is kept. Or another job writes there.
    """
    begun = time.perf_counter()
    with opened_pipeline(runner, options) as pipeline:
        sources, shards = survey(job.paths(), job.shard_size)
        answers = job.settings.num_return_sequences if job.task == "generate" else 1
        output = Output(job.output, len(shards), answers)
        handler = BundleHandler(
            job.bundle,
            job.task,
            job.settings,
            engine=job.engine,
            precision=job.precision,
            num_threads=num_threads,
            batch_size=job.batch_size,
            share_model=share_model,
            template=job.template,
        )
        with alone(job.output):
            is_begun = any(name == JOB or name.startswith("part-") for name in storage.names(job.output))
            kept = begin(job.output, job.described(sources), is_begun=is_begun, resume=resume)
            storage.sweep(job.output)
            finished = output.finished(shards)
            left = [shard for shard in shards if shard.number not in finished]
            if left:
                build(pipeline, left, handler, job.task, output, job.template.fields if job.template else ())
                try:
                    result = _finished(pipeline, output)
                except BaseException:  # an interruption too
                    if is_direct(runner) and not storage.is_address(job.output):
                        forget(job.output)  # elsewhere some worker may still be writing
                    raise
                confirm(job.output, kept)
        seconds = round(time.perf_counter() - begun, 3)
        return Summary(
            job.output,
            len(shards),
            len(finished),
            seconds,
            progress.counters(result) if left else dict.fromkeys(progress.COUNTERS, 0),
            progress.distributions(result) if left else {},
        )


def _finished(pipeline: Any, output: Output) -> Any:
    """Run a pipeline to its end."""
    try:
        with watched():
            result = pipeline.run()
            result.wait_until_finish()
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(str(_stopped("interrupted", output))) from error
    except Exception as error:
        reason = cause(error)
        if reason == KeyboardInterrupt.__name__:  # Beam makes an error of it
            raise KeyboardInterrupt(str(_stopped("interrupted", output))) from error
        raise _stopped(reason, output) from error
    if len(output.written()) < output.num_shards:
        raise _stopped(f"the pipeline ended as {result.state}", output)
    return result


def _stopped(reason: str, output: Output) -> KerasGPTError:
    done = len(output.written())
    kept = f"; {done} of {output.num_shards} shards are finished in {output.folder}: go on with --resume"
    return KerasGPTError(f"{reason}{kept if done else ''}")
