"""Ctrl-C, SIGTERM, SIGHUP: the first lets the step finish and saves everything, the second stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from kerasgpt.errors import KerasGPTError
from kerasgpt.signals import EndedBySignal

HUNG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # not on Windows


class InterruptedRunError(KerasGPTError):
    """A run was stopped by the user, and everything is saved; exit code 128 + the signal, as shells have it.

    Args:
        sentence: how to go on.
        number: of the signal; None where another process of the run had it.
    """

    def __init__(self, sentence: str, number: int | None = None) -> None:
        super().__init__(sentence)
        self.number = number
        self.exit_code = 128 + (number or signal.SIGINT)


@dataclass
class Interruption:
    """By which signal the user asked to stop, if so."""

    number: int | None = None

    @property
    def is_requested(self) -> bool:
        """Whether there was one."""
        return self.number is not None


@contextmanager
def interruptible(say: Callable[[str], None], hush: Callable[[], None]) -> Iterator[Interruption]:
    """Turn the first signal into a request and the second into what ends the process.

    SIGTERM is what a machine that is taken away sends, some seconds before it is; SIGHUP comes when the
    terminal is closed, or the connection to it lost, often twice, so that it is never the second signal, and
    where it is ignored it stays so, as nohup has it. In any thread but the main one signals are left alone.

    Args:
        say: tells the user what happens.
        hush: called where the terminal is gone: to write to it would be an error now.
    """
    interruption = Interruption()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if number == HUNG_UP:
            hush()
            if interruption.is_requested:
                return  # a shell that goes away sends it, and the system again when the shell has gone
        if interruption.is_requested:
            raise KeyboardInterrupt if number == signal.SIGINT else EndedBySignal(128 + number)
        interruption.number = number
        if number != HUNG_UP:
            say("stopping after this step; Ctrl-C again stops at once, back to the last checkpoint")

    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    numbers = [signal.SIGINT, signal.SIGTERM]  # the first of them is ignored in what a script starts by '&'
    if HUNG_UP and signal.getsignal(HUNG_UP) is not signal.SIG_IGN:
        numbers.append(HUNG_UP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it was not Python's
                signal.signal(number, handler)
