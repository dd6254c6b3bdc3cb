"""SIGTERM and SIGHUP end a command as an error does: what is half-written is taken away first."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS_BETWEEN_LOOKS = 0.5


class EndedBySignal(SystemExit):
    """The process is asked to end; its code is 128 and the signal's number, as shells tell of it."""


@contextmanager
def raised() -> Iterator[None]:
    """Let the signals that ask a process to end raise EndedBySignal in the block, if nobody handles them.

    One that is ignored stays so, as nohup has it. In any thread but the main one signals are left alone.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    is_main = threading.current_thread() is threading.main_thread()
    handled = [each for each in numbers if is_main and signal.getsignal(each) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


_raised: list[weakref.ref[EndedBySignal]] = []


def _end(number: int, frame: FrameType | None) -> None:
    if _raised and _raised[-1]() is not None:
        return  # it is ending, and whoever cleans up is not to be disturbed
    end = EndedBySignal(128 + number)
    _raised[:] = [weakref.ref(end)]
    threading.Thread(target=_insist, args=(number, _raised[-1]), daemon=True).start()
    try:
        raise end
    finally:
        del end  # this frame, which its traceback holds, must not hold it


def _insist(number: int, end: weakref.ref[EndedBySignal]) -> None:
    """Send a signal again when what it raised is gone and the process is not.

    Some libraries pass over whatever is raised while they import others.
    """
    while end() is not None:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    if signal.getsignal(number) is _end:
        os.kill(os.getpid(), number)
