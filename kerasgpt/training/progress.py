"""What a person sees while a model learns: a bar on a terminal, plain lines elsewhere, all on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import rich.progress
from rich.console import Console
from rich.text import Text

from kerasgpt.data.progress import Bar


class Progress(Bar):
    """Shows loss, validation loss, rate, gradient, speed, memory, time left, and samples.

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
        self._facts: dict[str, str] = {}
        self._first_step = first_step
        self._began: float | None = None
        super().__init__(
            rich.progress.BarColumn(bar_width=20),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.description}"),
            total=num_steps,
            completed=first_step,
            task="compiling ...",
            console=console or Console(stderr=True, quiet=quiet),
        )

    def step(self, step: int, **facts: float) -> None:
        """Show where training stands; facts are remembered until given anew."""
        self._remember(facts)
        if self._began is None:  # the clock starts once the model is compiled
            self._first_step, self._began = step, time.monotonic()
        line = self._line(step)
        plain = f"step {step}/{self.num_steps} {line}"
        self.show(step, plain, task=line, at_once=step == self.num_steps)

    def evaluation(self, step: int, sample: str = "", **facts: float) -> None:
        """Show an evaluation, and what the model now writes."""
        self._remember(facts)
        self.note(f"step {step}/{self.num_steps} {self._line(step)}")
        if sample:
            lines = sample.strip("\n").splitlines() or [""]
            self.console.print(Text("\n".join(f"    | {line}" for line in lines), style="dim"))

    def _remember(self, facts: Mapping[str, float]) -> None:
        for name, value in facts.items():
            title, show = FACTS.get(name, (name.replace("_", " "), _plain))
            self._facts[title] = show(value)

    def _line(self, step: int) -> str:
        facts = [f"{name} {number}" for name, number in self._facts.items()]
        return " · ".join([*facts, self._time_left(step)])

    def _time_left(self, step: int) -> str:
        done = step - self._first_step
        if self._began is None or done < 1:
            return "-:-- left"
        seconds = round((time.monotonic() - self._began) / done * (self.num_steps - step))
        minutes, hours = seconds // 60, seconds // 3600
        if hours >= 1:
            return f"{hours}:{minutes % 60:02d}:{seconds % 60:02d} left"
        return f"{minutes}:{seconds % 60:02d} left"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3f}"


# What a fact is called beside the bar, and how its number is shown.
FACTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "learning_rate": ("rate", lambda value: f"{value:.2e}"),
    "grad_norm": ("gradient", _plain),
    "mfu": ("MFU", lambda value: f"{100 * value:.1f} %"),
    "input_share": ("input", lambda value: f"{100 * value:.1f} %"),
    "memory_bytes": ("memory", lambda value: f"{value / 2**20:,.0f} MiB"),
    "skipped_steps": ("skipped", lambda value: f"{value:.0f}"),
}
