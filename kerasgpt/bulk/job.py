"""A job: what was asked for, kept beside its output, so that it goes on only as it was begun."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasgpt import checks
from kerasgpt.artifacts import MANIFEST, folder_kind, json_text, sha256_of
from kerasgpt.bulk import storage
from kerasgpt.bulk.output import OUTPUT_NAME
from kerasgpt.bulk.records import TASKS, Task, is_json
from kerasgpt.bulk.shards import Source
from kerasgpt.engines import choose, precision_of
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.folder_lock import held
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tasks.templates import TaskTemplate, read_template
from kerasgpt.version import __version__

JOB = "job.json"


@dataclass(frozen=True)
class Job:
    """What decides the output of a job.

    Args:
        bundle: folder, the same path for every worker.
        inputs: files, patterns or addresses.
        output: folder or address.
        task: ``"generate"`` or ``"score"``.
        settings: of generation.
        engine: see `kerasgpt.load`.
        precision: see `kerasgpt.load`.
        shard_size: records that are written together; so many are lost at most where a worker dies.
        batch_size: records that are read together, at most.
        use_template: whether prompts of a model that was fine-tuned on a task are its raw inputs.

    Raises:
        UsageError: no such task or engine, a size below 1, one text for the inputs, or text files to score.
        KerasGPTError: `bundle` is none.
    """

    bundle: str
    inputs: Sequence[str]
    output: str
    task: Task = "generate"
    settings: GenerationConfig = field(default_factory=GenerationConfig)
    engine: str = "auto"
    precision: str | None = None
    shard_size: int = 256
    batch_size: int = 32
    use_template: bool = True

    def __post_init__(self) -> None:
        checks.refuse_text("inputs", self.inputs)
        for name in ("bundle", "output"):
            object.__setattr__(self, name, os.fspath(getattr(self, name)))
        object.__setattr__(self, "inputs", [os.fspath(each) for each in self.inputs])
        if self.task not in TASKS:
            raise unknown_name("task", self.task, TASKS)
        for name in ("shard_size", "batch_size"):
            object.__setattr__(self, name, checks.at_least(name, getattr(self, name), 1))
        if folder_kind(self.bundle) != "bundle":
            raise UsageError(f"{self.bundle}: is no bundle; make one with 'kerasgpt export {self.bundle}'")
        object.__setattr__(self, "engine", choose(self.bundle, self.engine))

    @property
    def template(self) -> TaskTemplate | None:
        """What prompts are put into; None where they are taken as they are."""
        return read_template(self.bundle) if self.use_template and self.task == "generate" else None

    def paths(self) -> list[str]:
        """The input files, in the order of their records.

        Raises:
            KerasGPTError: there is no such file.
            UsageError: a file of text is to be scored.
        """
        found = [path for pattern in self.inputs for path in storage.find(pattern)]
        for path in found:
            if self.task == "score" and not is_json(path):
                raise UsageError(f'{path}: to score takes .jsonl files of {{"prompt", "continuation"}}')
        return found

    def described(self, sources: Sequence[Source]) -> dict[str, Any]:
        """All of it as JSON, without the places where things lie."""
        settings = dataclasses.asdict(self.settings) if self.task == "generate" else {}
        content = {
            "format": "kerasgpt-batch",
            "version": __version__,
            "task": self.task,
            "bundle": sha256_of(Path(self.bundle) / MANIFEST),
            "engine": self.engine,
            "precision": self.precision or precision_of(self.bundle, self.engine),
            "shard_size": self.shard_size,
            "batch_size": self.batch_size,
            "template": self.template is not None,
            "settings": settings,
            "inputs": {source.name: dataclasses.asdict(source) for source in sources},
        }
        plain: dict[str, Any] = json.loads(json.dumps(content))
        return plain


@contextmanager
def alone(folder: str) -> Iterator[None]:
    """Hold the output folder of a job against others on this machine; one behind an address cannot be held.

    The process that launches a job holds it, so that its workers may write.

    Raises:
        KerasGPTError: another job holds it, or the folder cannot be made.
    """

    def refuse() -> None:
        raise KerasGPTError(
            f"{folder}: another job writes into this folder; wait for it, or choose another --output"
        )

    with nullcontext() if storage.is_address(folder) else held(Path(folder), refuse):
        yield


def begin(folder: str, described: dict[str, Any], *, is_begun: bool, resume: bool) -> dict[str, Any]:
    """Leave the description of a job in its output folder, or go on with the one that is there.

    Args:
        folder: of the output.
        described: what is asked for now.
        is_begun: whether a description or a shard was written already.
        resume: whether to go on with it.

    Returns:
        The description that is there now.

    Raises:
        UsageError: something was written and is not to be gone on with, or was begun with other settings.
        KerasGPTError: another job begins at the same moment.
    """
    path = storage.join(folder, JOB)
    if is_begun and not resume:
        raise UsageError(
            f"{folder}: holds the output of a job; go on with --resume, or give another --output"
        )
    if is_begun and storage.exists(path):
        kept = _read(path)
        _refuse_other(folder, kept, described)
        return kept
    if is_begun:
        raise UsageError(f"{folder}: has shards and no {JOB}, which says of what; give another --output")
    storage.write(path, json_text(described).encode())
    confirm(folder, described)
    return described


def confirm(folder: str, kept: dict[str, Any]) -> None:
    """Look whether the description in an output folder is still the one that `begin` gave.

    Behind an address no folder can be held: there, of two jobs that begin at once, one finds the other's.

    Raises:
        KerasGPTError: it is another's.
    """
    if not storage.exists(storage.join(folder, JOB)) or _read(storage.join(folder, JOB)) != kept:
        raise KerasGPTError(
            f"{folder}: another job has begun in it meanwhile, so that their shards may be mixed; give each"
            " an --output of its own"
        )


def forget(folder: str) -> None:
    """Take away the description of a job that has failed and written nothing, so that another may begin."""
    if not any(OUTPUT_NAME.fullmatch(name) for name in storage.names(folder)):
        storage.delete(storage.join(folder, JOB))


def _read(path: str) -> dict[str, Any]:
    with storage.opened(path) as file:
        content = json.load(file)
    if not isinstance(content, dict):
        raise KerasGPTError(f"{path}: is no description of a job; give another --output")
    return content


def _refuse_other(folder: str, begun: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a job that is another than the one begun, naming the first difference."""
    remedy = "give what it was begun with, or another --output"
    old, new = begun.get("inputs", {}), wanted["inputs"]
    if list(old) != list(new):
        listed = [", ".join(names) or "none" for names in (old, new)]
        raise UsageError(
            f"{folder}: was begun with the inputs {listed[0]}, and now it is {listed[1]}; {remedy}"
        )
    for name, source in new.items():
        if source != old[name]:
            raise UsageError(f"{name}: has changed since {folder} was begun; {remedy}")
    if begun.get("bundle") != wanted["bundle"]:
        raise UsageError(f"{folder}: was begun with another bundle, or this one has changed; {remedy}")
    old, new = _flat(begun), _flat(wanted)
    for name in new:
        if old.get(name) != new[name]:
            raise UsageError(
                f"{folder}: was begun with {name} {json.dumps(old.get(name))}, and now it is"
                f" {json.dumps(new[name])}; {remedy}"
            )


def _flat(described: dict[str, Any]) -> dict[str, Any]:
    own = ("task", "engine", "precision", "shard_size", "batch_size")
    template = described.get("template", False)  # jobs that were begun before there was the choice had none
    return {
        **{name: described.get(name) for name in own},
        "template": template,
        **described.get("settings", {}),
    }
