"""What a person sees while long work goes on: a bar on a terminal, plain lines elsewhere, on stderr."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Self

import rich.progress
from rich.console import Console
from rich.text import Text

PLAIN_LINE_SECONDS = 5.0  # between lines where there is no terminal


class Bar:
    """A bar on a terminal; elsewhere a line now and then.

    Args:
        columns: of the bar.
        total: what it is full at.
        completed: where it begins.
        task: said beside it.
        console: where to write.
        waits: whether the first plain line too waits its time, so that short work says nothing.
    """

    def __init__(
        self,
        *columns: rich.progress.ProgressColumn,
        total: int,
        completed: int = 0,
        task: str = "",
        console: Console,
        waits: bool = False,
    ) -> None:
        self.console = console
        self._last_line = time.monotonic() if waits else -math.inf
        self._bar = rich.progress.Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task(task, total=total, completed=completed)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self._bar.stop()

    def show(self, completed: int, plain: str, *, task: str | None = None, at_once: bool = False) -> None:
        """Move the bar, or write the plain line if it is time or must be at once."""
        if self.console.is_terminal:
            self._bar.update(self._task, completed=completed, description=task)
        elif at_once or time.monotonic() - self._last_line >= PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            self.note(plain)

    def hush(self) -> None:
        """Write nothing any more."""
        self.console.quiet = True

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self.console.print(Text(text), soft_wrap=True)


class ByteProgress(Bar):
    """Shows how many of so many bytes are done.

    Args:
        task: what is being done, such as ``"encoding"``.
        total_bytes: of the whole work.
        console: where to write; None means stderr.
    """

    def __init__(self, task: str, total_bytes: int, console: Console | None = None) -> None:
        self._name, self._total_bytes, self._done_bytes = task, total_bytes, 0
        super().__init__(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=20),
            rich.progress.DownloadColumn(),
            rich.progress.TransferSpeedColumn(),
            rich.progress.TimeRemainingColumn(),
            total=total_bytes,
            task=task,
            console=console or Console(stderr=True),
            waits=True,
        )

    def advance(self, num_bytes: int) -> None:
        """Count bytes as done."""
        self._done_bytes += num_bytes
        done, total = self._done_bytes / 1e6, self._total_bytes / 1e6
        self.show(self._done_bytes, f"{self._name}: {done:,.0f} of {total:,.0f} MB")
