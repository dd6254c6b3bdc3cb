"""Requests of several callers as one call of the session: batching/batching_session.cc, batching_util.cc."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier

import numpy as np
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from tests.tf_serving.model import Feeds, Model
from tests.tf_serving.status import Refused, invalid


@dataclass(frozen=True)
class Options:
    """BatchingParameters of servables/tensorflow/session_bundle_config.proto: those that shape a batch."""

    max_batch_size: int = 1000
    pad_variable_length_inputs: bool = False
    allowed_batch_sizes: Sequence[int] = field(default=())


def predict_together(
    model: Model, requests: Sequence[PredictRequest], options: Options
) -> list[PredictResponse | Refused]:
    """Answer requests that arrived together: those of one signature are one batch, in their order."""
    session = BatchingSession(model, options, len(requests))

    def answer(index: int) -> PredictResponse | Refused:
        try:
            return model.predict(requests[index], lambda *asked: session.run(index, *asked))
        except Refused as refusal:
            return refusal
        finally:
            session.leave(index)

    with ThreadPoolExecutor(len(requests)) as callers:
        return list(callers.map(answer, range(len(requests))))


class BatchingSession:
    """A session whose callers wait for each other."""

    def __init__(self, model: Model, options: Options, num_callers: int) -> None:
        self._model, self._options = model, options
        self._tasks: dict[int, tuple[Feeds, list[str]]] = {}
        self._answers: dict[int, list[np.ndarray] | Refused] = {}
        self._arrived, self._all_here = set(), Barrier(num_callers, action=self._process_all)

    def run(self, caller: int, feeds: Feeds, fetches: list[str]) -> list[np.ndarray]:
        """InternalRun: the task is checked, then waits for its batch."""
        size = batch_size(feeds)
        if (
            size > self._options.max_batch_size
        ):  # TensorFlow's shared_batch_scheduler.h, ScheduleWithoutOrEagerSplit
            raise invalid(
                f"Task size {size} is larger than maximum input batch size {self._options.max_batch_size}"
            )
        self._tasks[caller] = feeds, fetches
        self._wait(caller)
        answer = self._answers[caller]
        if isinstance(answer, Refused):
            raise answer
        return answer

    def leave(self, caller: int) -> None:
        """A caller that was refused earlier keeps nobody waiting."""
        if caller not in self._arrived:
            self._wait(caller)

    def _wait(self, caller: int) -> None:
        self._arrived.add(caller)
        self._all_here.wait()

    def _process_all(self) -> None:
        """One batch for each TensorSignature: the sets of tensors fed and fetched."""
        batches: dict[tuple, list[int]] = {}
        for caller, (feeds, fetches) in sorted(self._tasks.items()):
            batches.setdefault((frozenset(feeds), frozenset(fetches)), []).append(caller)
        for callers in batches.values():
            try:
                tasks = [self._tasks[caller] for caller in callers]
                self._answers |= zip(
                    callers, process_batch(tasks, self._options, self._model.run), strict=True
                )
            except (
                Refused
            ) as refusal:  # ProcessBatch: whatever goes wrong, goes wrong for everybody in the batch
                self._answers |= dict.fromkeys(callers, refusal)


def batch_size(feeds: Feeds) -> int:
    """ComputeTensorBatchSize."""
    if any(array.ndim == 0 for array in feeds.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes = {len(array) for array in feeds.values()}
    if len(sizes) != 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def process_batch(
    tasks: list[tuple[Feeds, list[str]]], options: Options, run: Callable
) -> list[list[np.ndarray]]:
    """ProcessBatch: merge, run, split."""
    sizes = [batch_size(feeds) for feeds, _ in tasks]
    padding = rounded_up(sum(sizes), options.allowed_batch_sizes) - sum(sizes)
    merged = {
        name: merge([feeds[name] for feeds, _ in tasks], padding, options) for name in sorted(tasks[0][0])
    }
    fetches = sorted(set(tasks[0][1]))
    combined = dict(zip(fetches, run(merged, fetches), strict=True))
    for array in combined.values():  # SplitOutputTensors
        if array.ndim == 0:
            raise Refused("FAILED_PRECONDITION", "Batched output tensor has 0 dimensions")
        if len(array) != sum(sizes) + padding:
            raise Refused(
                "FAILED_PRECONDITION", "Batched output tensor's 0th dimension does not equal the sum"
            )
    ends = np.cumsum(sizes)
    return [
        [combined[name][end - size : end] for name in wanted]
        for (_, wanted), size, end in zip(tasks, sizes, ends, strict=True)
    ]


def merge(arrays: list[np.ndarray], padding: int, options: Options) -> np.ndarray:
    """MergeInputTensors: one input of all tasks, and the last one's first row again up to an allowed size."""
    if options.pad_variable_length_inputs:
        sizes = np.max([array.shape for array in arrays], axis=0)  # CalculateMaxDimSizes
        arrays = [add_padding(array, sizes) for array in arrays]
    elif len({array.shape[1:] for array in arrays}) > 1:  # AreShapesEqualExceptZeroDim
        raise Refused("FAILED_PRECONDITION", "different shapes and padding is turned off")
    return np.concatenate([*arrays, *[arrays[-1][:1]] * padding])


def add_padding(array: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """PadTensor: at the end of each dimension but the first, with the tensor's very first element."""
    widths = [(0, 0), *((0, size - own) for size, own in zip(sizes[1:], array.shape[1:], strict=True))]
    if not any(after for _, after in widths):
        return array
    if array.size == 0:
        raise invalid("Got empty tensor in batch of non-empty tensors.")
    padded = np.full(
        [own + after for own, (_, after) in zip(array.shape, widths, strict=True)], array.flat[0]
    )
    padded = padded.astype(array.dtype)
    padded[tuple(slice(own) for own in array.shape)] = array
    return padded


def rounded_up(size: int, allowed: Sequence[int]) -> int:
    """RoundToLowestAllowedBatchSize."""
    return min((each for each in allowed if each >= size), default=size)
