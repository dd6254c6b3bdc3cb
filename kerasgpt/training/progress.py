"""What a person sees while a model learns: a bar on a terminal, plain lines elsewhere, all on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import rich.progress
from rich.console import Console
from rich.text import Text

PLAIN_LINE_SECONDS = 5.0  # between lines where there is no terminal


class Progress:
    """Shows loss, validation loss, tokens per second, time left, and samples.

    Args:
        num_steps: steps of the whole run.
        first_step: steps done before.
        console: where to write; None means stderr.
        quiet: write nothing.
    """

    def __init__(
        self, num_steps: int, first_step: int = 0, console: Console | None = None, quiet: bool = False
    ) -> None:
        self.num_steps = num_steps
        self.console = console or Console(stderr=True, quiet=quiet)
        self._facts: dict[str, str] = {}
        self._first_step = first_step
        self._began: float | None = None
        self._last_line = -PLAIN_LINE_SECONDS
        columns = (
            rich.progress.BarColumn(bar_width=20),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.description}"),
        )
        self._bar = rich.progress.Progress(*columns, console=self.console, transient=True)
        self._task = self._bar.add_task("compiling ...", total=num_steps, completed=first_step)

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

    def step(self, step: int, **facts: float) -> None:
        """Show where training stands; facts are remembered until given anew."""
        self._remember(facts)
        if self._began is None:  # the clock starts once the model is compiled
            self._first_step, self._began = step, time.monotonic()
        line = self._line(step)
        if self.console.is_terminal:
            self._bar.update(self._task, completed=step, description=line)
        elif time.monotonic() - self._last_line >= PLAIN_LINE_SECONDS or step == self.num_steps:
            self._last_line = time.monotonic()
            self.note(f"step {step}/{self.num_steps} {line}")

    def evaluation(self, step: int, sample: str = "", **facts: float) -> None:
        """Show an evaluation, and what the model now writes."""
        self._remember(facts)
        self.note(f"step {step}/{self.num_steps} {self._line(step)}")
        if sample:
            lines = sample.strip("\n").splitlines() or [""]
            self.console.print(Text("\n".join(f"    | {line}" for line in lines), style="dim"))

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self.console.print(Text(text), soft_wrap=True)

    def _remember(self, facts: dict[str, Any]) -> None:
        for name, value in facts.items():
            number = f"{value:,.0f}" if value >= 1000 else f"{value:.3f}"
            self._facts[name.replace("_", " ")] = number

    def _line(self, step: int) -> str:
        facts = [f"{name} {number}" for name, number in self._facts.items()]
        return " · ".join([*facts, self._time_left(step)])

    def _time_left(self, step: int) -> str:
        done = step - self._first_step
        if self._began is None or done < 1:
            return "-:-- left"
        seconds = round((time.monotonic() - self._began) / done * (self.num_steps - step))
        return f"{seconds // 60}:{seconds % 60:02d} left"
