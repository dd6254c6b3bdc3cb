"""ModelConfig: which model a recipe trains, new or begun with another's weights."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kerasgpt.architectures import ARCHITECTURES, field_names, type_of_preset
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError, unknown_name

DEFAULT_PRESET = "gpt-mini"


@dataclass(frozen=True)
class ModelConfig:
    """The model to train: ``[model]``, a preset or a folder to start from, and fields of its configuration.

    Args:
        type: ``"gpt2"``, ``"lstm"`` or ``"gru"``; empty means that of the preset, else ``"gpt2"``.
        preset: a size of `kerasgpt.architectures.ALL_PRESETS`; empty means `DEFAULT_PRESET` unless a type,
            fields or a folder say otherwise.
        init: a model folder whose weights to start from.
        word_vectors: file of vectors that the token embeddings start from where the vocabulary has the word:
            of word2vec, GloVe or fastText, in text or binary. To leave them as they are, set ``train.freeze``
            to ``["wte.weight"]``.
        fields: of GPT2Config or RecurrentConfig, that differ from that; ``dropout`` sets all rates unless
            the others are there too.
    """

    preset: str = ""
    init: str = ""
    word_vectors: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    type: str = ""

    def __post_init__(self) -> None:
        if self.type and self.type not in ARCHITECTURES:
            raise unknown_name("model.type", self.type, ARCHITECTURES)
        if self.preset and self.type not in ("", type_of_preset(self.preset)):
            raise UsageError(
                f"preset '{self.preset}' and type '{self.type}': give a preset of that type, or drop one"
            )
        if self.preset and self.init:
            raise UsageError(f"preset '{self.preset}' and init '{self.init}': give the one or the other")
        if self.word_vectors and self.init:
            raise UsageError(
                f"model.word_vectors '{self.word_vectors}' and model.init '{self.init}': a model's own token"
                " embeddings are trained already; give the one or the other"
            )

    def overrides(self, model_type: str = "gpt2") -> dict[str, Any]:
        """The fields that are set, with ``dropout`` spread over all rates that such a model has."""
        rate, known = self.fields.get("dropout"), field_names(ARCHITECTURES[model_type].config)
        names = [name for name in ("embedding_dropout", "attention_dropout") if name in known]
        return {**({} if rate is None else dict.fromkeys(names, rate)), **self.fields}


def model_fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that ``[model]`` may set, and their types; of a folder's model those of any."""
    named = str(table.get("type") or "")
    if not named and table.get("preset"):
        named = type_of_preset(str(table["preset"]))
    names = list(ARCHITECTURES) if table.get("init") and not named else [named or "gpt2"]
    found: dict[str, Any] = {}
    for name in reversed(names):
        config = ARCHITECTURES[name].config if name in ARCHITECTURES else GPT2Config
        hints = typing.get_type_hints(config)
        found |= {field: hints[field] for field in hints if field in field_names(config)}
    return found
