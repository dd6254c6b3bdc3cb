"""One table: model type -> its configuration, and the classes that compute it, resolved when chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from kerasgpt.config import PRESETS, GPT2Config
from kerasgpt.errors import unknown_name
from kerasgpt.recurrent_config import RECURRENT_PRESETS, RecurrentConfig

AnyConfig: TypeAlias = GPT2Config | RecurrentConfig


class Architecture(NamedTuple):
    """A row of the table.

    Attributes:
        title: what a person calls such a model.
        config: the class of its configuration.
        model: "module:class" of the Keras model.
        steps: "module:class" of the StepModel that runs it.
    """

    title: str
    config: type[GPT2Config] | type[RecurrentConfig]
    model: str
    steps: str


ARCHITECTURES = {
    "gpt2": Architecture(
        "GPT-2",
        GPT2Config,
        "kerasgpt.models.gpt2:GPT2CausalLM",
        "kerasgpt.models.language_model:KerasStepModel",
    ),
    "lstm": Architecture(
        "LSTM",
        RecurrentConfig,
        "kerasgpt.models.recurrent:LSTMCausalLM",
        "kerasgpt.models.recurrent_steps:RecurrentStepModel",
    ),
    "gru": Architecture(
        "GRU",
        RecurrentConfig,
        "kerasgpt.models.recurrent:GRUCausalLM",
        "kerasgpt.models.recurrent_steps:RecurrentStepModel",
    ),
}
"""``model_type`` of config.json, which is also ``model.type`` of a recipe -> the row."""

ALL_PRESETS: dict[str, dict[str, Any]] = {**PRESETS, **RECURRENT_PRESETS}
"""The sizes of every architecture."""


def type_of(config: AnyConfig) -> str:
    """The model type of a configuration.

    >>> type_of(GPT2Config()), type_of(RecurrentConfig("gru"))
    ('gpt2', 'gru')
    """
    return config.cell if isinstance(config, RecurrentConfig) else "gpt2"


def architecture_of(config: AnyConfig) -> Architecture:
    """The row of a configuration."""
    return ARCHITECTURES[type_of(config)]


def type_of_preset(name: str) -> str:
    """The model type of a named size.

    Raises:
        UsageError: no such preset.

    >>> type_of_preset("lstm-mini"), type_of_preset("gpt-mini")
    ('lstm', 'gpt2')
    """
    if name not in ALL_PRESETS:
        raise unknown_name("preset", name, ALL_PRESETS)
    cell: str = RECURRENT_PRESETS.get(name, {}).get("cell", "gpt2")
    return cell


def config_of_preset(name: str, **overrides: Any) -> AnyConfig:
    """The configuration of a named size, with some fields changed.

    Raises:
        UsageError: no such preset or field.
    """
    return ARCHITECTURES[type_of_preset(name)].config.from_preset(name, **overrides)


def config_of_type(model_type: str, **fields: Any) -> AnyConfig:
    """The configuration of a model type, its fields being the defaults unless given."""
    kind = ARCHITECTURES[model_type].config
    cell = {"cell": model_type} if kind is RecurrentConfig else {}
    return kind(**{**fields, **cell})


def config_from_huggingface(values: Mapping[str, Any], source: str = "config.json") -> AnyConfig:
    """Read the content of a ``config.json`` of any model type.

    Raises:
        KerasGPTError: it describes none of them, or a part we do not have.
    """
    kind = ARCHITECTURES.get(str(values.get("model_type")), ARCHITECTURES["gpt2"]).config
    return kind.from_huggingface(values, source)


def field_names(config: type) -> set[str]:
    """The fields of a configuration class that a recipe may set."""
    return {field.name for field in dataclasses.fields(config)} - {"cell"}
