"""OutcomeFile: what came of each example so far, a line each, for an evaluation to go on from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgpt.atomic import CannotWriteError
from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.base import Outcome


class OutcomeFile:
    """Lines of JSON: first what is evaluated, then ``{"example": 7, "place": ..., "counts": {...}}`` each.

    Args:
        path: made if there is none.
        subject: what is evaluated, with all that changes an outcome; any JSON.

    Attributes:
        outcomes: number of an example -> what came of it.

    Raises:
        KerasGPTError: the file is of something else, cannot be read, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], subject: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.outcomes: dict[int, Outcome] = {}
        subject = json.loads(json.dumps(subject))  # as it comes back from the file
        if self._read(subject):
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(subject) + "\n", encoding="utf-8")
        except OSError as error:
            raise CannotWriteError(self.path, str(error.strerror)) from error

    def add(self, numbers: Sequence[int], places: Sequence[str], outcomes: Sequence[Outcome]) -> None:
        """Write what came of some examples, and have it on the disk before this returns."""
        self.outcomes.update(zip(numbers, outcomes, strict=True))
        lines = [
            json.dumps({"example": number, "place": place, "counts": one.counts, "details": one.details})
            for number, place, one in zip(numbers, places, outcomes, strict=True)
        ]
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CannotWriteError(self.path, str(error.strerror)) from error

    def _read(self, subject: Mapping[str, Any]) -> bool:
        """Read what is there; whether anything was."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise KerasGPTError(f"{self.path}: cannot read ({error.strerror})") from error
        whole, _, torn = content.rpartition(b"\n")
        if not whole:
            return False  # killed in its first line
        first, *lines = whole.decode("utf-8", "replace").split("\n")
        self._compare(first, subject)
        try:
            for line in lines:
                values = json.loads(line)
                self.outcomes[values["example"]] = Outcome(values["counts"], values["details"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise KerasGPTError(f"{self.path}: damaged; remove it, and all is evaluated again") from error
        if torn:  # killed in the middle of a line
            os.truncate(self.path, len(whole) + 1)
        return True

    def _compare(self, line: str, subject: Mapping[str, Any]) -> None:
        try:
            before = json.loads(line)
        except (ValueError, RecursionError):
            before = None
        if not isinstance(before, dict):
            raise KerasGPTError(f"{self.path}: is no file of outcomes; choose another name with --json")
        for name in sorted({*before, *subject}):
            if before.get(name) != subject.get(name):
                raise KerasGPTError(
                    f"{self.path}: was begun with another {name.replace('_', ' ')}: evaluate that one again,"
                    " start anew with --restart, or choose another name with --json"
                )
