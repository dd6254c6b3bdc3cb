"""Recipe: what to train on what and how, from TOML and ``section.key=value``, with every name checked."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from kerasgpt.config import PRESETS
from kerasgpt.data.mixture import require_weights
from kerasgpt.data.reading import ErrorHandling
from kerasgpt.data.splits import Split
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.training.model_settings import DEFAULT_PRESET, ModelConfig, model_fields
from kerasgpt.training.settings import LoraConfig, TrainConfig
from kerasgpt.training.task import TaskConfig
from kerasgpt.training.values import (
    absolute_pattern,
    as_tuple,
    in_toml,
    parse_override,
    refuse_unspellable,
    typed,
)


@dataclass(frozen=True)
class DataConfig:
    """The text, its division, and how it becomes tokens: ``[data]``.

    Args:
        paths: files of text, JSON lines, parquet or ids, and patterns such as ``"fineweb/*.bin"``.
        validation_fraction: of the data, to choose the best checkpoint on; 0 keeps the last one instead.
        test_fraction: of the data, scored once, after training.
        split: ``"tail"`` or ``"document"``, see `kerasgpt.data.splits.Split`.
        errors: what to do about bytes that are not UTF-8, ``"strict"`` or ``"replace"``.
        tokenizer: ``"learn"`` from the part to train on, ``"gpt2"``, or a folder; ``"auto"`` means the one
            of the model to start from, GPT-2's own for its presets, else ``"learn"``.
        vocabulary_size: of a learned tokenizer.
        weights: one for each path, in which proportion to train on them; each is then divided by itself.
            None means one after the other, as they are.
        deduplicate: whether to leave out documents equal to an earlier one, but for line ends at their end.
        document_mask: whether a document sees none of those before it in its window.
    """

    paths: tuple[str, ...] = ()
    validation_fraction: float = 0.1
    test_fraction: float = 0.0
    split: str = "tail"
    errors: ErrorHandling = "strict"
    tokenizer: str = "auto"
    vocabulary_size: int = 1024
    weights: tuple[float, ...] = ()
    deduplicate: bool = False
    document_mask: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", as_tuple(self.paths))
        object.__setattr__(self, "weights", as_tuple(self.weights))
        if self.errors not in typing.get_args(ErrorHandling):
            raise unknown_name("data.errors", self.errors, typing.get_args(ErrorHandling))
        require_weights(self.weights, len(self.paths))
        self.division()

    def division(self) -> Split:
        """How the data is divided."""
        return Split(self.validation_fraction, self.test_fraction, self.split)


_MODEL_WORDS = ("type", "preset", "init", "word_vectors")  # the others are the configuration's fields

_SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "model": ModelConfig,
    "train": TrainConfig,
    "lora": LoraConfig,
    "task": TaskConfig,
}


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the tables of a file.

    Raises:
        KerasGPTError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise KerasGPTError(f"{path}: cannot read ({error.strerror}); give a recipe in TOML") from error
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad TOML alike
        raise KerasGPTError(f"{path}: not valid TOML ({error})") from error


@dataclass(frozen=True)
class Recipe:
    """All that a run depends on.

    >>> recipe = Recipe.from_dict({"model": {"preset": "gpt-nano"}}, ["train.steps=20"])
    >>> recipe.model.preset, recipe.train.steps
    ('gpt-nano', 20)
    >>> Recipe.from_dict({}, ["train.step=20"])
    Traceback (most recent call last):
    kerasgpt.errors.UsageError: unknown setting 'train.step': did you mean 'train.steps'?
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    task: TaskConfig = field(default_factory=TaskConfig)

    def __post_init__(self) -> None:
        if self.task.name:
            self._refuse_what_is_for_running_text()
        if self.train.refit_steps and not self.data.validation_fraction:
            raise UsageError(
                f"train.refit_steps is {self.train.refit_steps} and data.validation_fraction 0: a refit adds"
                " the validation part, so give it a fraction"
            )
        if self.lora.rank and not self.model.init:
            raise UsageError(
                f"lora.rank is {self.lora.rank}: adapters need a model to adapt; name one by model.init"
            )
        if self.lora.rank and self.train.refit_steps:
            raise UsageError(
                "train.refit_steps and lora.rank: adapters are trained once; set one of them to 0"
            )
        if self.train.soft_prompt_tokens:
            self._check_soft_prompt()

    def _refuse_what_is_for_running_text(self) -> None:
        for name, value in (
            ("data.weights", self.data.weights),
            ("data.deduplicate", self.data.deduplicate),
            ("data.document_mask", self.data.document_mask),
            ("data.errors", self.data.errors != "strict"),
            ("train.refit_steps", self.train.refit_steps),
            ("train.initial_sequence_length", self.train.initial_sequence_length),
        ):
            if value:
                raise UsageError(
                    f"{name} is set and so is task.name, '{self.task.name}': it is for running text; leave"
                    " it out"
                )

    def _check_soft_prompt(self) -> None:
        count = f"train.soft_prompt_tokens is {self.train.soft_prompt_tokens}"
        if not self.model.init:
            raise UsageError(
                f"{count}: a soft prompt needs a model that stays as it is; name one by model.init"
            )
        for name, is_set in {
            "lora.rank": self.lora.rank,
            "task.name": self.task.name,
            "train.refit_steps": self.train.refit_steps,
            "data.document_mask": self.data.document_mask,
        }.items():
            if is_set:
                raise UsageError(
                    f"{count} and {name} is set: a soft prompt is trained alone; leave one of them out"
                )

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Self:
        """Read a recipe from a file, then change it by ``section.key=value`` settings.

        Raises:
            KerasGPTError: the file cannot be read.
            UsageError: a name is unknown, or a value of the wrong type or out of range.
        """
        return cls.from_dict(read_toml(path), overrides)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], overrides: Iterable[str] = ()) -> Self:
        """Build a recipe from nested tables, as TOML gives them, and ``section.key=value`` settings.

        Raises:
            UsageError: a name is unknown, or a value of the wrong type or out of range.
        """
        tables: dict[str, dict[str, Any]] = {}
        for section, table in values.items():
            if section not in _SECTIONS:
                raise unknown_name("section", section, _SECTIONS)
            if not isinstance(table, Mapping):
                raise UsageError(f"{section} is {table!r}: it must be a table, [{section}] and its settings")
            tables[section] = dict(table)
        for override in overrides:
            section, key, value = parse_override(override, _SECTIONS)
            tables.setdefault(section, {})[key] = value
        return cls(**{name: _build(name, table) for name, table in tables.items()})

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Nested tables, as TOML has them; what is unset in ``[model]`` is left out."""
        own = {name: getattr(self.model, name) for name in _MODEL_WORDS}
        model = {**own, **self.model.fields}
        return {
            "data": {**dataclasses.asdict(self.data), "paths": list(self.data.paths)},
            "model": {key: value for key, value in model.items() if value not in ("", None)},
            "train": dataclasses.asdict(self.train),
            "lora": dataclasses.asdict(self.lora),
            "task": dataclasses.asdict(self.task),
        }

    def to_toml(self) -> str:
        """The recipe as a file's content."""
        sections = []
        for name, table in self.to_dict().items():
            lines = [f"{key} = {in_toml(value)}" for key, value in table.items()]
            sections.append("\n".join([f"[{name}]", *lines]))
        return "\n\n".join(sections) + "\n"

    def resolved(self) -> Self:
        """The recipe with nothing left to defaults that may move: absolute paths, preset and tokenizer."""
        data, model = self.data, self.model
        if not model.init and not model.preset and not model.fields and model.type in ("", "gpt2"):
            model = dataclasses.replace(model, preset=DEFAULT_PRESET)
        tokenizer = data.tokenizer
        if tokenizer == "auto":
            own = "gpt2" if model.preset.startswith("gpt2") else "learn"
            tokenizer = os.path.abspath(model.init) if model.init else own
        elif tokenizer not in ("learn", *PRESETS):
            tokenizer = os.path.abspath(tokenizer)
        for path in (*data.paths, *self.task.validation_paths, tokenizer, model.init, model.word_vectors):
            refuse_unspellable(path)
        self._refuse_other_unspellable()
        absolute = os.path.abspath if self.task.name else absolute_pattern  # a task's are files alone
        paths = tuple(absolute(path) for path in data.paths)
        init = os.path.abspath(model.init) if model.init else ""
        validation_paths = tuple(os.path.abspath(path) for path in self.task.validation_paths)
        word_vectors = os.path.abspath(model.word_vectors) if model.word_vectors else ""
        return dataclasses.replace(
            self,
            task=dataclasses.replace(self.task, validation_paths=validation_paths),
            data=dataclasses.replace(data, paths=paths, tokenizer=tokenizer),
            model=dataclasses.replace(model, init=init, word_vectors=word_vectors),
        )

    def _refuse_other_unspellable(self) -> None:
        """Refuse texts that no TOML can hold, such as a byte of a shell's that is no UTF-8."""
        for section, table in self.to_dict().items():
            for key, value in table.items():
                for text in value if isinstance(value, list | tuple) else [value]:
                    if isinstance(text, str) and (shown := text.encode("utf-8", "replace").decode()) != text:
                        raise UsageError(f"{section}.{key} is {shown!r}: it must be a text in UTF-8")

    def refit(self, model: str | os.PathLike[str]) -> Self:
        """The recipe of the refit: on from a model, with all of the data but the test part."""
        folder, train = os.path.abspath(model), self.train
        return dataclasses.replace(
            self,
            data=dataclasses.replace(self.data, validation_fraction=0.0, tokenizer=folder),
            model=ModelConfig(init=folder),
            train=dataclasses.replace(
                train,
                steps=train.refit_steps,
                learning_rate=train.refit_learning_rate,
                final_learning_rate=min(train.final_learning_rate, train.refit_learning_rate),
                warmup_steps=min(train.warmup_steps, train.refit_steps // 20),
                sequence_length_warmup_steps=0,
                seed=train.seed + 1,
                refit_steps=0,
            ),
        )

    def differences(self, other: Recipe) -> list[str]:
        """What differs in another recipe, each as ``section.key: mine -> theirs``."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [
            f"{section}.{key}: {_shown(mine[section].get(key))} -> {_shown(theirs[section].get(key))}"
            for section, table in mine.items()
            for key in dict.fromkeys([*table, *theirs[section]])
            if table.get(key) != theirs[section].get(key)
        ]


def _shown(value: Any) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)


def _build(section: str, table: Mapping[str, Any]) -> Any:
    cls = _SECTIONS[section]
    known = typing.get_type_hints(cls)
    if cls is ModelConfig:
        known = dict.fromkeys(_MODEL_WORDS, str) | model_fields(table)
    for key in table:
        if key not in known:
            raise unknown_name("setting", key, known, prefix=f"{section}.")
    values = {key: typed(f"{section}.{key}", value, known[key]) for key, value in table.items()}
    if cls is ModelConfig:
        own = {key: values.pop(key) for key in _MODEL_WORDS if key in values}
        return ModelConfig(**own, fields=values)
    return cls(**values)
