"""Event files for TensorBoard: scalars, samples of text, histograms of the weights; on every backend."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasgpt.atomic import CannotWriteError
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.extras import require
from kerasgpt.training.callbacks import StepCallback
from kerasgpt.training.processes import first_alone
from kerasgpt.training.resume import RunState, refuse_damage
from kerasgpt.training.settings import TrainConfig

_BINS = 30


_NAME = re.compile(r"events\.out\.tfevents\.(\d{1,15}(?:\.\d+)?)\.")


class EventFile:
    """Appends events to a file of its own, on disk as soon as written.

    TensorBoard's own records and messages, without its writer, which imports TensorFlow wherever that is
    installed.

    Args:
        folder: of the log; made if need be.
        step: that a run goes on from. What other files there, or this one, say of later steps is of a course
            that was left, and TensorBoard is told to drop it.

    Raises:
        MissingExtraError: tensorboard is not installed.
        CannotWriteError: the disk is full or the folder cannot be written, here and in every method.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        purpose = "train.tensorboard"
        self._events: Any = require("tensorboard.compat.proto.event_pb2", "train", purpose)
        self._summaries: Any = require("tensorboard.compat.proto.summary_pb2", "train", purpose)
        writer: Any = require("tensorboard.summary.writer.record_writer", "train", purpose)
        with self._told():
            folder.mkdir(parents=True, exist_ok=True)
            # TensorBoard reads files by their names: this one last, also where the clock has gone back.
            earlier = [float(found[1]) for path in folder.iterdir() if (found := _NAME.match(path.name))]
            stamp = max([time.time(), *(each + 1e-3 for each in earlier)])
            self.path = folder / f"events.out.tfevents.{stamp:.6f}.{os.getpid()}"
            self._records = writer.RecordWriter(self.path.open("wb"))
        self._write(self._events.Event(wall_time=time.time(), file_version="brain.Event:2"))
        self.drop_after(step)

    def record(self, record: Mapping[str, Any]) -> None:
        """Write a record of the journal: its numbers, and its text."""
        numbers = {name: value for name, value in record.items() if isinstance(value, int | float)}
        step = int(numbers.pop("step"))
        self.scalars(step, numbers)
        for name, value in record.items():
            if isinstance(value, str):
                self.text(step, name, value)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers, each under its name."""
        self._summarise(
            step, [self._summaries.Summary.Value(tag=n, simple_value=v) for n, v in values.items()]
        )

    def text(self, step: int, name: str, text: str) -> None:
        """Write a text, to be shown as it is."""
        value = self._summaries.Summary.Value(tag=name)
        value.metadata.plugin_data.plugin_name = "text"
        value.tensor.dtype = 7  # a string, in TensorFlow's numbering of types
        value.tensor.tensor_shape.dim.add().size = 1
        value.tensor.string_val.append("\n".join(f"    {line}" for line in text.splitlines()).encode())
        self._summarise(step, [value])

    def histograms(self, step: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write how the numbers of arrays are distributed."""
        self._summarise(step, [self._histogram(name, np.asarray(array)) for name, array in arrays.items()])

    def _histogram(self, name: str, array: NDArray[Any]) -> Any:
        counts, edges = np.histogram(array, _BINS)
        histogram = self._summaries.HistogramProto(
            min=array.min(),
            max=array.max(),
            num=array.size,
            sum=array.sum(dtype=np.float64),
            sum_squares=np.square(array, dtype=np.float64).sum(),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        return self._summaries.Summary.Value(tag=name, histo=histogram)

    def drop_after(self, step: int) -> None:
        """Tell TensorBoard that what there is of later steps does not count: the run has gone back."""
        start = self._events.SessionLog(status=self._events.SessionLog.START)
        self._write(self._events.Event(wall_time=time.time(), step=step + 1, session_log=start))

    def _summarise(self, step: int, values: list[Any]) -> None:
        summary = self._summaries.Summary(value=values)
        self._write(self._events.Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        with self._told():
            self._records.write(event.SerializeToString())
            self._records.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWriteError(self.path, error.strerror or str(error)) from error

    def close(self) -> None:
        """Close the file."""
        self._records.close()


class WriteHistograms(StepCallback):
    """Writes how the weights are distributed, for TensorBoard.

    Args:
        settings: of the training.
        state: of the run.
        write: (step, name -> array).
    """

    def __init__(
        self,
        settings: TrainConfig,
        state: RunState,
        write: Callable[[int, dict[str, Any]], None],
    ) -> None:
        super().__init__(settings, state, settings.evaluate_every)
        self.write = write

    def on_step(self, step: int, logs: dict[str, Any]) -> None:
        """Write."""
        with first_alone(self.model) as is_first:
            if is_first:
                arrays = dict(named_arrays(self.model))
                refuse_damage(arrays, step)  # of what is not finite there is no histogram
                self.write(step, arrays)
