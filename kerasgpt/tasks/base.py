"""Task: what its files ask, what a model makes of each example, and the figures that come of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from kerasgpt.protocols import LanguageModel

Counts: TypeAlias = Mapping[str, float]
"""Numbers by name that add up over examples: correct answers, nats, n-grams in common."""

Figures: TypeAlias = dict[str, float]
"""Metric -> value. A metric named num_... is a count of something, and has no interval."""


@dataclass(frozen=True)
class Outcome:
    """What came of one example: one line of the file that an interrupted evaluation goes on from.

    Attributes:
        counts: what the metrics are made of. All metrics follow from the sums of these over the examples, so
            that a bootstrap adds them up anew a thousand times and reads no text again. A name that an
            outcome lacks counts as 0.
        details: what a person may want to see, such as ``{"prediction": "a dog"}``; any JSON.
    """

    counts: Counts
    details: Mapping[str, Any] = field(default_factory=dict)


class Example(Protocol):
    """What every task's examples have; what else, its own class says."""

    @property
    def place(self) -> str:
        """Where it was read, for sentences about it: file and line, or a key."""


ExampleT = TypeVar("ExampleT", bound=Example)


class Task(Protocol[ExampleT]):
    """One way to judge a language model, through the contract of LanguageModel alone.

    A task is a frozen dataclass whose fields are its settings: those that several tasks have are called
    `shots`, `seed`, `template` and `settings` (a GenerationConfig). They are recorded with a result, and
    whoever goes on with an interrupted one must have the same.
    """

    @property
    def name(self) -> str:
        """As on the command line."""

    def read(self, paths: Sequence[str | Path], lm: LanguageModel) -> list[ExampleT]:
        """Read and check all examples, in an order that the files and the settings alone decide.

        Args:
            paths: of the data.
            lm: asked for its tokenizer and its context, where they say how a text is divided.

        Raises:
            KerasGPTError: a file cannot be read or has a bad line; names file, line and remedy.
        """

    def size(self, example: ExampleT) -> int:
        """Roughly how long it is: examples of like size are answered together, the longest first."""

    def answer(self, lm: LanguageModel, examples: Sequence[ExampleT]) -> list[Outcome]:
        """Ask a model: one outcome an example, in their order.

        An outcome depends on its example and the settings, not on what is answered with it; where texts are
        sampled, an example carries a number of its own that its seed is made of.
        """

    def metrics(self, counts: Counts) -> Figures:
        """The figures of a whole corpus, from the sums of its outcomes' counts, which are never empty.

        The same names for any sums: a resampled corpus may lack what the real one has, and where that leaves
        nothing to divide by, a figure is 0.
        """

    def baselines(self, examples: Sequence[ExampleT]) -> Mapping[str, Sequence[Outcome]]:
        """What costs no model: name, such as ``"lead"`` -> an outcome an example, judged by the same metrics.

        Empty where a task has none.
        """


def totals(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """The sums of outcomes' counts.

    >>> totals([Outcome({"correct": 1, "examples": 1}), Outcome({"examples": 1})])
    {'correct': 1, 'examples': 2}
    """
    sums: Counter[str] = Counter()
    for outcome in outcomes:
        sums.update(outcome.counts)
    return dict(sums)
