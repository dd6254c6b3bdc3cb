"""Shots: examples that a prompt shows before its question, drawn by a seed, and as many as fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kerasgpt.errors import UsageError
from kerasgpt.protocols import Tokenizer
from kerasgpt.tasks.files.labelled import Labelled

_INPUT, _OUTPUT = "{input}", "{output}"


@dataclass(frozen=True)
class ShotTemplate:
    r"""How an example is written in a prompt, and how the prompt ends before the answer.

    Args:
        text: with ``{input}`` and, after it, ``{output}``, once each; all other text stands for itself.

    Raises:
        UsageError: one of the two is missing, double, or in the wrong order.

    >>> template = ShotTemplate("Q: {input}\nA: {output}\n\n")
    >>> template.shot("up", "down"), template.question("in"), template.answer("out")
    ('Q: up\nA: down\n\n', 'Q: in\nA:', ' out')
    """

    text: str

    def __post_init__(self) -> None:
        once = all(self.text.count(name) == 1 for name in (_INPUT, _OUTPUT))
        if not once or self.text.index(_INPUT) > self.text.index(_OUTPUT):
            raise UsageError(
                f"template '{self.text}': it must have {_INPUT} and then {_OUTPUT}, once each, such as"
                " 'Q: {input}\\nA: {output}\\n\\n'"
            )

    def shot(self, asked: str, output: str) -> str:
        """An example, whole."""
        return self._head(asked) + output + self._tail

    def question(self, asked: str) -> str:
        """What stands before an answer, without the blanks at its end."""
        return self._head(asked).rstrip(" ")

    def answer(self, output: str) -> str:
        """An answer, with those blanks before it."""
        head = self._head("")
        return head[len(head.rstrip(" ")) :] + output

    @property
    def stop(self) -> str:
        """What ends an answer that is written: the line's end if it ends a line."""
        return "\n" if self._tail.startswith("\n") or not self._tail.strip() else self._tail

    @property
    def _tail(self) -> str:
        return self.text.partition(_OUTPUT)[2]

    def _head(self, asked: str) -> str:
        before, _, after = self.text.partition(_OUTPUT)[0].partition(_INPUT)
        return before + asked + after


@dataclass(frozen=True)
class ShotPrompt:
    """A prompt that fits, and how many shots it lost for that; None where not even the question fits."""

    text: str
    num_dropped: int


class ShotPool:
    """Examples to draw from, each question its own.

    Where there are labels, each comes as often as any other, give or take one.

    Args:
        examples: of the task.
        labels: outputs to balance, or none.
        seed: of all the drawing.
    """

    def __init__(self, examples: Sequence[Labelled], labels: Sequence[str], seed: int) -> None:
        self._examples = examples
        self._seed = seed
        groups: dict[str, list[int]] = {}
        for place, each in enumerate(examples):
            groups.setdefault(each.outputs[0] if labels else "", []).append(place)
        self._groups = [group for _, group in sorted(groups.items())]

    def draw(self, count: int, question: Labelled, number: int) -> tuple[Labelled, ...]:
        """Draw examples for one question; of fewer, they are the first of those that more would be.

        Args:
            count: examples wanted; there are fewer if the pool has not so many.
            question: that they stand before; what asks the same is left out.
            number: of the question, so that each has its own.
        """
        if not count:
            return ()
        generator = np.random.default_rng([self._seed, number])
        queues = [iter(generator.permutation(group).tolist()) for group in self._groups]
        drawn: list[Labelled] = []
        while queues and len(drawn) < count:
            ended = []
            for turn in generator.permutation(len(queues)).tolist():
                found = self._next(queues[turn], question)
                drawn += [] if found is None else [found]
                ended += [queues[turn]] if found is None else []
            queues = [queue for queue in queues if queue not in ended]
        return tuple(drawn[:count])

    def _next(self, queue: Iterator[int], question: Labelled) -> Labelled | None:
        found = (self._examples[place] for place in queue)
        return next((each for each in found if each.input != question.input), None)


def fitted_prompt(
    tokenizer: Tokenizer,
    template: ShotTemplate,
    instruction: str,
    shots: Sequence[Labelled],
    asked: str,
    most_tokens: int,
) -> ShotPrompt | None:
    """Write a prompt, leaving out shots from the first on until it fits; the question is never cut.

    Args:
        tokenizer: of the model.
        template: of shots and question.
        instruction: that the prompt begins with.
        shots: to show.
        asked: the question's input.
        most_tokens: of the prompt.
    """
    texts = [template.shot(each.input, each.outputs[0]) for each in shots]
    for dropped in range(len(texts) + 1):
        prompt = instruction + "".join(texts[dropped:]) + template.question(asked)
        if len(tokenizer.encode(prompt)) <= most_tokens:
            return ShotPrompt(prompt, dropped)
    return None
