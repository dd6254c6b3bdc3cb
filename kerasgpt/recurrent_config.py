"""RecurrentConfig: frozen settings of an LSTM or GRU language model, its size presets, and its JSON form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Self

from kerasgpt.config import Configuration
from kerasgpt.errors import UsageError, unknown_name

GATES = {"lstm": 4, "gru": 3}
"""Cell -> how many matrices of each kind it has, side by side in one array."""

STATES = {"lstm": ("hidden", "cell"), "gru": ("hidden",)}
"""Cell -> the vectors that a layer hands on from token to token."""

EMBEDDINGS, HEAD = "embeddings.weight", "head.weight"
"""The tables of the vocabulary in model.safetensors."""


@dataclass(frozen=True)
class RecurrentConfig(Configuration):
    """The shape and the settings of a recurrent language model.

    Args:
        cell: ``"lstm"`` or ``"gru"``.
        vocabulary_size: V, number of token ids.
        max_sequence_length: the most tokens that a text may have, 2 or more. The state itself has no limit.
        num_layers: L, one above another.
        hidden_dim: H, width of a layer's state.
        embedding_dim: E, width of the token embeddings; None means H. Where the two differ, a projection
            leads from H back to E.
        dropout: rate on what each layer gives to the next one, and to the head.
        embedding_dropout: rate on the token embeddings.
        initializer_range: standard deviation of the initial token embeddings.
        tie_word_embeddings: use the token embeddings as the output head.
        bos_token_id: id that begins a text; None means the last id.
        eos_token_id: id that ends a text; None means the last id.

    >>> config = RecurrentConfig.from_preset("lstm-mini", vocabulary_size=1024)
    >>> config.cell, config.hidden_dim, config.num_parameters
    ('lstm', 432, 2854464)
    """

    cell: str = "lstm"
    vocabulary_size: int = 50257
    max_sequence_length: int = 1024
    num_layers: int = 2
    hidden_dim: int = 512
    embedding_dim: int | None = None
    dropout: float = 0.1
    embedding_dropout: float = 0.1
    initializer_range: float = 0.05
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self) -> None:
        self._require_kinds()
        if self.cell not in GATES:
            raise unknown_name("cell", self.cell, GATES)
        self._require_sizes("vocabulary_size", "num_layers", "hidden_dim", "embedding_dim")
        for name in ("dropout", "embedding_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: a rate is in [0, 1)")
        for name in ("bos_token_id", "eos_token_id"):
            token = getattr(self, name)
            if token is None:
                object.__setattr__(self, name, self.vocabulary_size - 1)
            elif not 0 <= token < self.vocabulary_size:
                raise UsageError(f"{name} {token} is not an id of a vocabulary of {self.vocabulary_size}")
        if not 0 <= self.initializer_range < inf:
            raise UsageError(f"initializer_range is {self.initializer_range}: it must be 0 or more")

    @property
    def embedding_width(self) -> int:
        """E, with its default of H filled in."""
        return self.embedding_dim or self.hidden_dim

    @property
    def has_projection(self) -> bool:
        """Whether the head needs states of another width than they have."""
        return self.embedding_width != self.hidden_dim

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the vectors that a layer hands on."""
        return STATES[self.cell]

    def input_dim(self, layer: int) -> int:
        """Width of what a layer reads (0-based index)."""
        return self.hidden_dim if layer else self.embedding_width

    @property
    def num_parameters(self) -> int:
        """How many numbers a model of this shape learns."""
        head = 0 if self.tie_word_embeddings else self.vocabulary_size * self.embedding_width
        return self.vocabulary_size * self.embedding_width + head + self.num_inner_parameters

    @property
    def num_inner_parameters(self) -> int:
        """The same without the tables of the vocabulary."""
        width, biases = self.hidden_dim, 2 if self.cell == "gru" else 1
        layers = sum(
            GATES[self.cell] * width * (self.input_dim(layer) + width + biases)
            for layer in range(self.num_layers)
        )
        return layers + (self.embedding_width * (width + 1) if self.has_projection else 0)

    def to_huggingface(self) -> dict[str, Any]:
        """The content of a ``config.json``; its ``model_type``, the cell, is of this package alone."""
        fields = {name: value for name, value in self.to_dict().items() if name != "cell"}
        return {"architectures": [f"{self.cell.upper()}CausalLM"], "model_type": self.cell, **fields}

    @classmethod
    def from_huggingface(cls, values: Mapping[str, Any], source: str = "config.json") -> Self:
        """Read what `to_huggingface` wrote.

        Raises:
            KerasGPTError: it describes something else, or a number is impossible.
        """
        names = {field.name for field in dataclasses.fields(cls)} - {"cell"}
        fields = {name: values[name] for name in names if name in values}
        return cls.of_json({"cell": values.get("model_type", ""), **fields}, source, {"cell": "model_type"})


RECURRENT_PRESETS: dict[str, dict[str, Any]] = {
    "lstm-nano": {"cell": "lstm", "hidden_dim": 74, "embedding_dim": 48},
    "lstm-micro": {"cell": "lstm", "hidden_dim": 232, "embedding_dim": 128},
    "lstm-mini": {"cell": "lstm", "hidden_dim": 432, "embedding_dim": 192},
    "gru-nano": {"cell": "gru", "hidden_dim": 86, "embedding_dim": 48},
    "gru-micro": {"cell": "gru", "hidden_dim": 268, "embedding_dim": 128},
    "gru-mini": {"cell": "gru", "hidden_dim": 504, "embedding_dim": 192},
}
"""As many parameters, two layers and embeddings as wide as in gpt-nano, gpt-micro and gpt-mini."""

RecurrentConfig.presets = RECURRENT_PRESETS
