"""Tasks by name, each made from those options of the command line that it has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasgpt.engines import resolve
from kerasgpt.errors import UsageError, unknown_name
from kerasgpt.tasks.base import Task

TASKS = {
    "language_modeling": "kerasgpt.tasks.language_modeling:LanguageModeling",
    "lambada": "kerasgpt.tasks.lambada:Lambada",
    "hellaswag": "kerasgpt.tasks.hellaswag:HellaSwag",
    "multiple_choice": "kerasgpt.tasks.multiple_choice:MultipleChoice",
    "few_shot": "kerasgpt.tasks.few_shot:FewShot",
    "completion": "kerasgpt.tasks.answering:completion_task",
    "translation": "kerasgpt.tasks.answering:translation_task",
    "summarization": "kerasgpt.tasks.answering:summarization_task",
    "question_answering": "kerasgpt.tasks.answering:question_answering_task",
}
"""Task -> its class, or a function that makes one; whose parameters are the options it has."""


def options_of(name: str) -> list[str]:
    """The options that a task has.

    Raises:
        UsageError: no such task.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    return list(inspect.signature(resolve(TASKS[name])).parameters)


def make_task(name: str, folder: Path, given: Mapping[str, Any]) -> Task[Any]:
    """Make a task.

    Args:
        name: in the table.
        folder: of the model, for a task that takes it.
        given: options by name; one that is None was not given.

    Raises:
        UsageError: no such task, it has no such option, or a value is out of range.
    """
    known = options_of(name)
    chosen = {option: value for option, value in given.items() if value is not None}
    for option in chosen:
        if option not in known:
            own = ", ".join(_said(each) for each in known if each != "folder") or "none"
            raise UsageError(f"the task {name} has no {_said(option)}; its own options are {own}")
    if "folder" in known:
        chosen["folder"] = folder
    task: Task[Any] = resolve(TASKS[name])(**chosen)
    return task


def _said(option: str) -> str:
    """An option as on the command line; `settings` is made of several."""
    return "options of generation" if option == "settings" else f"--{option.replace('_', '-')}"
