"""Ctrl-C, and SIGTERM: the first lets the step finish and everything be saved, the second stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from kerasgpt.errors import KerasGPTError


class InterruptedRunError(KerasGPTError):
    """A run was stopped by the user, and everything is saved; exit code 128 + SIGINT, as shells have it."""

    exit_code = 130


@dataclass
class Interruption:
    """Whether the user asked to stop."""

    is_requested: bool = False


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[Interruption]:
    """Turn the first SIGINT or SIGTERM into a request and the second into KeyboardInterrupt.

    SIGTERM is what a machine that is taken away sends, some seconds before it is. In any thread but the main
    one signals are left alone.

    Args:
        say: tells the user what happens.
    """
    interruption = Interruption()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if interruption.is_requested:
            raise KeyboardInterrupt
        interruption.is_requested = True
        say("stopping after this step; Ctrl-C again stops at once, back to the last checkpoint")

    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it was not Python's
                signal.signal(number, handler)
