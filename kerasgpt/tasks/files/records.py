"""TaskRecord: what goes in and which answers are right, as a task's files have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kerasgpt.errors import KerasGPTError


@dataclass(frozen=True)
class TaskRecord:
    """One example of a task.

    Attributes:
        fields: what a template's places stand for, such as ``{"question": ..., "context": ...}``.
        answers: the right ones, at least one; training learns the first, and a score takes the best.
        place: where it was read, for sentences about it: file and line, or a key.
        group: what it stays together with when data is divided, such as the article it is about.
        number: counted over all files, from 0.

    Raises:
        KerasGPTError: there is no answer, or an empty one.
    """

    fields: Mapping[str, str]
    answers: tuple[str, ...]
    place: str
    group: str
    number: int = 0

    def __post_init__(self) -> None:
        if not self.answers:
            raise KerasGPTError(f"{self.place}: has no answer; give at least one, or leave the record out")
        if not all(answer.strip() for answer in self.answers):
            raise KerasGPTError(f"{self.place}: has an empty answer; give its text, or leave the record out")
