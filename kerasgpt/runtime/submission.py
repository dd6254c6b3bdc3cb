"""A text that is written in a running batch, between the thread that writes it and the one that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event, RLock

from kerasgpt.generation.requests import Request
from kerasgpt.generation.rows import Token
from kerasgpt.protocols import Generation


class Submission:
    """A text that is being written: iterate over its pieces as they come, or ask for the result.

    Made by `ContinuousBatching.submit`. One thread iterates, any may wait or cancel.

    Attributes:
        request: what is to be written.
        is_cancelled: whether nobody wants to know how it goes on.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.is_cancelled = False
        self._pieces: SimpleQueue[str | None] = SimpleQueue()
        self._has_ended = Event()
        self._has_begun = self._is_ending = False
        self._lock = RLock()  # which a text that is dropped while it is held may ask for once more
        self._outcome: Generation | Exception | None = None

    def __iter__(self) -> Iterator[str]:
        while (piece := self._pieces.get()) is not None:
            yield piece
        self._pieces.put(None)  # for whoever iterates again
        self.result()

    def result(self) -> Generation:
        """Wait for the end: what was written.

        Raises:
            Exception: what went wrong in the engine.
        """
        self._has_ended.wait()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        assert self._outcome is not None  # it is set before the event
        return self._outcome

    def cancel(self) -> None:
        """Write no more; the result is what there is by then.

        A text that still waits for a row ends at once, with nothing; any other within a step. Where no
        stop string ended it before, the `finish_reason` is ``"length"``: being cancelled is a limit too.
        """
        with self._lock:
            self.is_cancelled = True
            still_waits = not self._has_begun
        if still_waits:
            self.end()

    def begin(self) -> bool:
        """Whether the text is still wanted, on the writer's side: then nobody but the writer ends it."""
        with self._lock:
            self._has_begun = not self.is_cancelled
            return self._has_begun

    def ends_with(self, index: int) -> bool:
        """Take a token's text, on the writer's side: whether a stop string ends it here."""
        return self.request.text.push(index)

    def take(self, token: Token) -> None:
        """Take the rest of a token, on the writer's side, and hand its text over."""
        self.request.text.record(token.id, token.logprob, token.finish_reason)
        self._hand_over()

    def end(self, error: Exception | None = None) -> None:
        """End the text, on the writer's side, or say what went wrong; what has ended stays as it is."""
        with self._lock:
            if self._is_ending:
                return
            self._is_ending = True
        try:
            self._outcome = error or self.request.text.finish()
            if error is None:
                self._hand_over()
        except Exception as failure:  # of its last characters; who waits is woken in any case
            self._outcome = failure
        self._pieces.put(None)
        self._has_ended.set()

    def _hand_over(self) -> None:
        for piece in self.request.text.released():
            self._pieces.put(piece)


class Pieces(Iterator[str]):
    """The pieces of a text that is written for one reader, and cancelled where that one reads no more.

    That is by `close`, by an interrupt, or by dropping it, even before the first piece: a generator that
    never began could not tell.

    Args:
        submission: the text.
    """

    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self._pieces = iter(submission)

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except BaseException:  # the end is one too, and then there is nothing to be cancelled any more
            self._submission.cancel()
            raise

    def close(self) -> None:
        """Ask for no more."""
        self._submission.cancel()
        self._pieces = iter(())

    def __del__(self) -> None:
        self._submission.cancel()
