"""Continuous batching: requests from any thread at any time, written together in one running batch."""

from __future__ import annotations

import atexit
from collections import deque
from collections.abc import Iterator, Sequence
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakSet

from kerasgpt import checks
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation.chooser import settings_of_rows
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.requests import Request
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Generation, Prompt, Score, Settings
from kerasgpt.runtime.scheduler import Scheduler
from kerasgpt.runtime.submission import Pieces, Submission
from kerasgpt.tokenizer.bpe import Tokenizer

MAX_BATCH_SIZE: Final = 8
PREFILL_TOKENS: Final = 256
"""Of prompts, read between two steps: what the rows that are being written wait for at most."""


class ContinuousBatching:
    """A language model whose calls share one running batch; see `kerasgpt.protocols.LanguageModel`.

    A request joins between two steps, as soon as a row is free, and leaves with its last token; so many of
    them are read and written at little more than the price of one. Each has the text that it has alone, by
    its own settings, seed and stop strings. What waits is taken in the order of arrival.

    A new prompt is read between steps, `prefill_tokens` of them at a time: a long one in pieces, on engines
    that extend, and several short ones together. Beam search is not batched, and drafts of prompt lookup
    are not made. Its methods may be called from any thread; the engine runs in one of its own, which lives
    until `close`, the end of a ``with``, which drops what is unfinished where an error leaves it, or the end
    of the process.

    In float32 a text is the one that it is alone, up to rounding. In 8 and 4 bits the kernels round one row
    otherwise than several, so that a choice between near equals may differ, as it may in a static batch.

    Args:
        model: opened by `kerasgpt.load`. It may be used beside this, from other threads.
        max_batch_size: rows that are written at once, at most; the rest wait. On GPT-2's smallest size a
            row takes 74 kB for each token of the longest text in the batch.
        prefill_tokens: read between two steps.

    Raises:
        UsageError: a number is below 1, or the model's engine keeps its loop to itself.

    ```python
    with ContinuousBatching(kerasgpt.load("saved_models/demo")) as lm:
        submissions = [lm.submit(prompt) for prompt in ("ROMEO:", "JULIET:")]
        print([submission.result().text for submission in submissions])
    ```
    """

    def __init__(
        self,
        model: Any,
        *,
        max_batch_size: int = MAX_BATCH_SIZE,
        prefill_tokens: int = PREFILL_TOKENS,
    ) -> None:
        if isinstance(model, ContinuousBatching):
            raise UsageError("this is a running batch already: give what it was made of, or use it as it is")
        if not isinstance(model, StepLanguageModel):
            raise UsageError("this engine runs its loop inside the graph: use the onnx or the keras engine")
        self._model = model
        self._max_batch_size = checks.at_least("max_batch_size", max_batch_size, 1)
        self._prefill_tokens = checks.at_least("prefill_tokens", prefill_tokens, 1)
        self._waiting: deque[Submission] = deque()
        self._submitted: WeakSet[Submission] = WeakSet()
        self._changed = Condition()
        self._is_closed = False
        self._failure: BaseException | None = None
        self._scheduler = Scheduler(model, self._prefill_tokens)
        self._worker = Thread(target=self._work, name="kerasgpt-batch", daemon=True)
        self._worker.start()
        _opened.add(self)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer the model was trained with."""
        return self._model.tokenizer

    @property
    def max_sequence_length(self) -> int:
        """The context, in tokens."""
        return self._model.max_sequence_length

    @property
    def is_running(self) -> bool:
        """Whether the engine's thread lives."""
        return self._worker.is_alive()

    def submit(self, prompt: Prompt, settings: GenerationConfig | None = None) -> Submission:
        """Let a prompt be continued; returns at once.

        Raises:
            UsageError: an id is not in the vocabulary, the settings ask for beams or several continuations,
                or this is closed.
        """
        chosen = settings_of_rows(self._model.settings if settings is None else settings, 1)
        if chosen[0].num_return_sequences > 1 or chosen[0].num_beams > 1:
            raise UsageError("a submission is one text without beams: use generate for several")
        (request,) = self._model.requests.read([prompt], chosen)
        return self._enqueue(request)

    def generate(self, prompts: Sequence[Prompt], settings: Settings | None = None) -> list[Generation]:
        """Continue each prompt; see `StepLanguageModel.generate`."""
        prompts = checks.several("prompts", prompts)
        each = settings_of_rows(self._model.settings if settings is None else settings, len(prompts))
        if any(own.num_beams > 1 for own in each):
            return self._model.generate(prompts, each)
        requests = self._model.requests.read(prompts, each)
        submissions: list[Submission] = []
        try:
            submissions.extend(self._enqueue(request) for request in requests)
            return [submission.result() for submission in submissions]
        finally:  # nobody waits for those that have not ended: one has failed, or Ctrl-C was pressed
            for submission in submissions:
                submission.cancel()

    def stream(self, prompt: Prompt, settings: GenerationConfig | None = None) -> Iterator[str]:
        """Yield the continuation in pieces; see `StepLanguageModel.stream`.

        Whoever closes or drops it before the end has the row dropped.
        """
        (chosen,) = settings_of_rows(self._model.settings if settings is None else settings, 1)
        if chosen.num_beams > 1:
            return self._model.stream(prompt, chosen)
        return Pieces(self.submit(prompt, chosen))

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Prompt]) -> list[Score]:
        """Score each continuation after its prompt, beside the batch."""
        return self._model.score(prompts, continuations)

    def close(self) -> None:
        """Take no more requests, and wait until those there are have ended."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._worker.join()

    def abandon(self) -> None:
        """Take no more requests, and end those there are with what they have by now."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            submitted = list(self._submitted)
        for submission in submitted:
            submission.cancel()
        self._worker.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()

    def _enqueue(self, request: Request) -> Submission:
        submission = Submission(request)
        with self._changed:
            if self._failure is not None:
                raise self._ended_by(self._failure)
            if self._is_closed:
                raise UsageError("this batch is closed: open another one")
            if not self.is_running:
                raise KerasGPTError(
                    "this batch's thread is in the process that this one was forked from: open another here"
                )
            self._waiting.append(submission)
            self._submitted.add(submission)
            self._changed.notify_all()
        return submission

    def _work(self) -> None:
        """Serve, or else tell everybody: whoever waits for a thread that has ended waits forever."""
        try:
            self._serve()
        except BaseException as error:
            with self._changed:
                self._failure = error
                waiting = [*self._waiting]
                self._waiting.clear()
            self._scheduler.fail(self._ended_by(error))
            for submission in waiting:
                submission.end(self._ended_by(error))

    def _serve(self) -> None:
        """Take in, read, and step, until closed and done."""
        scheduler = self._scheduler
        while True:
            with self._changed:
                while not self._waiting and scheduler.is_idle:
                    if self._is_closed:
                        return
                    self._changed.wait()
                while self._waiting and scheduler.num_rows < self._max_batch_size:
                    scheduler.admit([self._waiting[0]])
                    self._waiting.popleft()  # after it has a row, so that it is never in neither place
            scheduler.turn()

    def _ended_by(self, error: BaseException) -> KerasGPTError:
        """What the worker's end means to a caller, to each an error of its own."""
        failure = KerasGPTError(f"this batch has failed ({type(error).__name__}: {error}): open another one")
        failure.__cause__ = error
        return failure


_opened: WeakSet[ContinuousBatching] = WeakSet()


@atexit.register
def _abandon_all() -> None:
    """End the workers before Python does, which aborts the process where one is inside ONNX Runtime."""
    for batching in list(_opened):
        if batching.is_running:  # not in a forked process, which has no such threads
            batching.abandon()
