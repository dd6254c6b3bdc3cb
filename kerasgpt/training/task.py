"""TaskConfig: the task that a model is fine-tuned on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from kerasgpt.errors import UsageError, unknown_name
from kerasgpt.tasks.templates import DEFAULTS, TaskTemplate
from kerasgpt.training.values import as_tuple


@dataclass(frozen=True)
class TaskConfig:
    r"""A task in place of running text: ``[task]``. The loss then is that of the answers alone.

    Args:
        name: ``"completion"`` (any prompts with answers), ``"translation"``, ``"summarization"`` or
            ``"question_answering"``; `data.paths` are files of that task, see docs/tasks.md, and
            `data.validation_fraction` and `data.test_fraction` divide them by the hash of what belongs
            together, such as the questions about one article. Empty means running text.
        validation_paths: files of the same task to choose the best checkpoint on, in place of a fraction.
        prompt: template of the prompt, with the task's fields in braces, such as
            ``"{source}\\nTranslation:"``; empty means the task's own.
        answer: template of what follows, with ``{answer}`` in it; empty means the task's own.
        max_new_tokens: room that is kept for an answer, and its longest unless told otherwise; 0 means the
            task's own.
        prompt_weight: of a prompt's tokens in the loss that is trained on, beside 1 of an answer's; above 0
            a small model learns from the prompts as from running text.
        pack: whether a row holds as many examples as fit, which do not see one another; else one.
    """

    name: str = ""
    validation_paths: tuple[str, ...] = ()
    prompt: str = ""
    answer: str = ""
    max_new_tokens: int = 0
    prompt_weight: float = 0.0
    pack: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "validation_paths", as_tuple(self.validation_paths))
        if self.name and self.name not in DEFAULTS:
            raise unknown_name("task", self.name, DEFAULTS)
        if self.max_new_tokens < 0:
            raise UsageError(f"task.max_new_tokens is {self.max_new_tokens}: it must be 0 or more")
        if not 0 <= self.prompt_weight <= 1:
            raise UsageError(f"task.prompt_weight is {self.prompt_weight}: it must be from 0 to 1")
        if self.name:
            self.template()
            return
        for key in ("validation_paths", "prompt", "answer", "max_new_tokens", "prompt_weight"):
            if getattr(self, key):
                raise UsageError(f"task.{key} is set and task.name is not: name the task, or leave it out")

    def template(self) -> TaskTemplate:
        """How the task's fields become a prompt.

        Raises:
            UsageError: the template lacks a field that it must have, or has one that the task has not.
        """
        given: dict[str, Any] = {
            "prompt": self.prompt,
            "answer": self.answer,
            "max_new_tokens": self.max_new_tokens,
        }
        return dataclasses.replace(
            DEFAULTS[self.name], **{name: value for name, value in given.items() if value}
        )
