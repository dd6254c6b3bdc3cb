"""The page of all settings, docs/recipes.md, from the docstrings that explain them."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

from kerasgpt.config import GPT2Config
from kerasgpt.recurrent_config import RecurrentConfig
from kerasgpt.training.config import DataConfig
from kerasgpt.training.model_settings import ModelConfig
from kerasgpt.training.settings import LoraConfig, TrainConfig
from kerasgpt.training.task import TaskConfig

HEAD = """# Recipes: every setting

A recipe is a TOML file; `kerasgpt train --config FILE` reads it, and `--set section.key=value` changes a
setting. What a run was trained with, defaults included, is in its `config.toml`. An unknown key is refused
with the nearest right one, a value of the wrong type with the right type. `kerasgpt train --help` names the
recipes that come with the package; their files say what they take and what they reach.

This page is written by `python -m kerasgpt.training.manual`; a test holds it to the code.
"""


def manual() -> str:
    """The page in Markdown: a table for each section of a recipe."""
    model = [row for row in _rows(ModelConfig) if row[0] != "fields"] + list(_rows(GPT2Config))
    known = {"cell", *(name for name, _, _ in model)}
    model += [
        (name, default, f"of an LSTM or a GRU: {meaning}")
        for name, default, meaning in _rows(RecurrentConfig)
        if name not in known
    ]
    sections = {
        "data": _rows(DataConfig),
        "model": model,
        "train": _rows(TrainConfig),
        "lora": _rows(LoraConfig),
        "task": _rows(TaskConfig),
    }
    parts = [HEAD]
    for name, rows in sections.items():
        table = ["| key | default | meaning |", "|---|---|---|"]
        table += [f"| `{key}` | {default} | {meaning} |" for key, default, meaning in rows]
        parts.append("\n".join([f"## [{name}]", "", *table]) + "\n")
    return "\n".join(parts)


def _rows(cls: type) -> Iterator[tuple[str, str, str]]:
    """Name, default and explanation of each field of a dataclass."""
    explained = explanations(cls)
    for field in dataclasses.fields(cls):
        default = "" if field.default is dataclasses.MISSING else _shown(field.default)
        yield field.name, default, explained[field.name]


def _shown(value: Any) -> str:
    value = list(value) if isinstance(value, tuple) else value
    return "" if value in (None, "", []) else f"`{json.dumps(value)}`"


def explanations(cls: type) -> dict[str, str]:
    """What the ``Args:`` of a class's docstring says of each argument, in one line of Markdown."""
    lines = (inspect.getdoc(cls) or "").partition("Args:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", lines, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text).replace("``", "`").replace("|", "\\|") for name, text in entries}


if __name__ == "__main__":
    print(manual(), end="")
