"""What a person sees while a corpus is encoded: a bar on a terminal, plain lines elsewhere, on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import rich.progress
from rich.console import Console

PLAIN_LINE_SECONDS = 5.0  # between lines where there is no terminal, and before the first


class ByteProgress:
    """Shows how many of so many bytes are done.

    Args:
        task: what is being done, such as ``"encoding"``.
        total_bytes: of the whole work.
        console: where to write; None means stderr.
    """

    def __init__(self, task: str, total_bytes: int, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._task, self._total_bytes, self._done_bytes = task, total_bytes, 0
        self._last_line = time.monotonic()
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=20),
            rich.progress.DownloadColumn(),
            rich.progress.TransferSpeedColumn(),
            rich.progress.TimeRemainingColumn(),
        )
        self._bar = rich.progress.Progress(*columns, console=self.console, transient=True)
        self._bar_task = self._bar.add_task(task, total=total_bytes)

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

    def advance(self, num_bytes: int) -> None:
        """Count bytes as done."""
        self._done_bytes += num_bytes
        if self.console.is_terminal:
            self._bar.update(self._bar_task, completed=self._done_bytes)
        elif time.monotonic() - self._last_line >= PLAIN_LINE_SECONDS:
            self._last_line = time.monotonic()
            done, total = self._done_bytes / 1e6, self._total_bytes / 1e6
            self.console.print(f"{self._task}: {done:,.0f} of {total:,.0f} MB", highlight=False)
