"""GPT2Config: the frozen settings of a model, the size presets, and their Hugging Face JSON form."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from sys import float_info
from typing import Any, ClassVar, Self

from kerasgpt import checks
from kerasgpt.errors import KerasGPTError, UsageError, known_fields, unknown_name

ACTIVATIONS = ("gelu_new", "gelu", "relu", "silu", "tanh")

# Hugging Face's word for each field. Everything in their config.json that changes the numbers is here.
_HUGGINGFACE_NAMES = {
    "vocabulary_size": "vocab_size",
    "max_sequence_length": "n_positions",
    "num_layers": "n_layer",
    "num_heads": "n_head",
    "hidden_dim": "n_embd",
    "intermediate_dim": "n_inner",
    "activation": "activation_function",
    "dropout": "resid_pdrop",
    "embedding_dropout": "embd_pdrop",
    "attention_dropout": "attn_pdrop",
    "layer_norm_epsilon": "layer_norm_epsilon",
    "initializer_range": "initializer_range",
    "scale_attn_weights": "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx": "scale_attn_by_inverse_layer_idx",
    "reorder_and_upcast_attn": "reorder_and_upcast_attn",
    "tie_word_embeddings": "tie_word_embeddings",
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
}

# What their classes take for some of these words.
_OTHER_NAMES = {
    "n_positions": ("max_position_embeddings", "n_ctx"),
    "n_layer": ("num_hidden_layers",),
    "n_head": ("num_attention_heads",),
    "n_embd": ("hidden_size",),
}

# The kind of a field -> whether a value read from JSON is of it, and its name there. True is Python's 1.
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (lambda value: isinstance(value, int) and not isinstance(value, bool), "an integer"),
    "float": (lambda value: type(value) in (int, float) and abs(value) <= float_info.max, "a number"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "str": (lambda value: isinstance(value, str), "a string"),
}


@dataclass(frozen=True)
class Configuration:
    """What the configuration of any model can do: sizes by name, and copies with some fields changed."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> Self:
        """Build the configuration of a named size, with some fields changed.

        Raises:
            UsageError: no such preset or field.
        """
        if name not in cls.presets:
            raise unknown_name("preset", name, cls.presets)
        return cls(**{**cls.presets[name], **known_fields(cls, overrides)})

    def replace(self, **overrides: Any) -> Self:
        """A copy with some fields changed; ids beyond a smaller vocabulary are its last again.

        Raises:
            UsageError: no such field, or it cannot have such a value.
        """
        size, ids = overrides.get("vocabulary_size"), ("bos_token_id", "eos_token_id")
        beyond = {name: None for name in ids if isinstance(size, int) and getattr(self, name) >= size}
        return dataclasses.replace(self, **{**beyond, **known_fields(type(self), overrides)})

    @classmethod
    def of_json(cls, fields: Mapping[str, Any], source: str, names: Mapping[str, str] | None = None) -> Self:
        """Build the configuration of what a JSON file says.

        Args:
            fields: field -> what the file has for it.
            source: of the file, for an error's sentence.
            names: field -> the file's key for it, where that is another word.

        Raises:
            KerasGPTError: a value is of the wrong kind, or impossible.
        """
        keys = names or {}
        kinds = {field.name: str(field.type) for field in dataclasses.fields(cls)}
        for name, value in fields.items():
            kind, _, null = kinds[name].partition(" | ")
            holds, words = _KINDS[kind]
            if not holds(value) and not (null and value is None):
                said, wanted = json.dumps(value)[:60], f"{words} or null" if null else words
                raise KerasGPTError(f"{source}: {keys.get(name, name)} is {said}: it must be {wanted}")
        try:
            return cls(**fields)
        except UsageError as error:
            sentence = re.sub(r"\w+", lambda word: keys.get(word[0], word[0]), str(error))
            raise KerasGPTError(f"{source}: {sentence}") from error

    def _require_kinds(self) -> None:
        """Refuse values of other kinds than the fields'; numpy's, unknown to JSON, become Python's."""
        read = {"int": checks.integer, "float": checks.number, "bool": checks.flag}
        for field in dataclasses.fields(self):
            kind, _, null = str(field.type).partition(" | ")
            value = getattr(self, field.name)
            if kind in read and not (null and value is None):
                object.__setattr__(self, field.name, read[kind](field.name, value))

    def _require_sizes(self, *names: str) -> None:
        """Refuse sizes below 1 or above all, and a context without room to read a token and write one."""
        for name in (*names, "max_sequence_length"):
            value, least = getattr(self, name), 2 if name == "max_sequence_length" else 1
            if value is not None and not least <= value < 2**31:
                raise UsageError(f"{name} is {str(value)[:40]}: it must be at least {least}, and below 2^31")

    def to_dict(self) -> dict[str, Any]:
        """All fields, by their names here."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class GPT2Config(Configuration):
    """The shape and the settings of a GPT-2.

    Args:
        vocabulary_size: V, number of token ids.
        max_sequence_length: the context, in tokens, at least 2; the number of learned positions.
        num_layers: L, transformer blocks.
        num_heads: N, attention heads; must divide `hidden_dim`.
        hidden_dim: D, width of the residual stream.
        intermediate_dim: F, width inside the feed-forward layer; None means 4 D.
        activation: of the feed-forward layer, one of ``gelu_new`` (tanh form), ``gelu`` (erf form),
            ``relu``, ``silu``, ``tanh``.
        dropout: rate on the outputs of attention and feed-forward.
        embedding_dropout: rate on the sum of token and position embeddings.
        attention_dropout: rate on the attention weights.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the initial weights; residual projections get
            it divided by sqrt(2 L).
        scale_attn_weights: divide attention scores by sqrt(H).
        scale_attn_by_inverse_layer_idx: divide them also by the 1-based index of the layer.
        reorder_and_upcast_attn: accepted; attention scores are computed and softmaxed in float32 anyway.
        tie_word_embeddings: use the token embeddings as the output head.
        bos_token_id: id that begins a text; None means the last id.
        eos_token_id: id that ends a text; None means the last id.

    >>> config = GPT2Config.from_preset("gpt2-medium")
    >>> config.num_layers, config.head_dim, config.num_parameters
    (24, 64, 354823168)
    """

    vocabulary_size: int = 50257
    max_sequence_length: int = 1024
    num_layers: int = 12
    num_heads: int = 12
    hidden_dim: int = 768
    intermediate_dim: int | None = None
    activation: str = "gelu_new"
    dropout: float = 0.1
    embedding_dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    reorder_and_upcast_attn: bool = False
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self) -> None:
        self._require_kinds()
        self._require_sizes("vocabulary_size", "num_layers", "num_heads", "hidden_dim", "intermediate_dim")
        if self.hidden_dim % self.num_heads:
            raise UsageError(
                f"hidden_dim {self.hidden_dim} is not a multiple of num_heads {self.num_heads}: change one"
            )
        if self.activation not in ACTIVATIONS:
            raise unknown_name("activation", self.activation, ACTIVATIONS)
        for name in ("dropout", "embedding_dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: a rate is in [0, 1)")
        for name in ("bos_token_id", "eos_token_id"):
            token = getattr(self, name)
            if token is None:
                object.__setattr__(self, name, self.vocabulary_size - 1)
            elif not 0 <= token < self.vocabulary_size:
                raise UsageError(f"{name} {token} is not an id of a vocabulary of {self.vocabulary_size}")
        if not 0 < self.layer_norm_epsilon < inf:
            raise UsageError(f"layer_norm_epsilon is {self.layer_norm_epsilon}: it must be above 0")
        if not 0 <= self.initializer_range < inf:
            raise UsageError(f"initializer_range is {self.initializer_range}: it must be 0 or more")

    @property
    def head_dim(self) -> int:
        """H = D / N."""
        return self.hidden_dim // self.num_heads

    @property
    def feed_forward_dim(self) -> int:
        """F, with its default of 4 D filled in."""
        return self.intermediate_dim or 4 * self.hidden_dim

    @property
    def num_parameters(self) -> int:
        """How many numbers a model of this shape learns."""
        width, inner = self.hidden_dim, self.feed_forward_dim
        attention = width * 3 * width + 3 * width + width * width + width
        feed_forward = width * inner + inner + inner * width + width
        block = attention + feed_forward + 4 * width
        embeddings = (self.vocabulary_size + self.max_sequence_length) * width
        head = 0 if self.tie_word_embeddings else self.vocabulary_size * width
        return embeddings + self.num_layers * block + 2 * width + head

    def attention_scale(self, layer_index: int) -> float:
        """The factor on the attention scores of a layer (0-based index)."""
        scale = self.head_dim**-0.5 if self.scale_attn_weights else 1.0
        return scale / (layer_index + 1) if self.scale_attn_by_inverse_layer_idx else scale

    def to_huggingface(self) -> dict[str, Any]:
        """The content of a Hugging Face ``config.json``."""
        values = {theirs: getattr(self, ours) for ours, theirs in _HUGGINGFACE_NAMES.items()}
        return {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            **values,
            "n_ctx": self.max_sequence_length,
            "torch_dtype": "float32",
            "use_cache": True,
        }

    @classmethod
    def from_huggingface(cls, values: Mapping[str, Any], source: str = "config.json") -> Self:
        """Read the content of a Hugging Face ``config.json``.

        An id beyond the vocabulary, as transformers' own 50256 is of a smaller one, is taken as not given.

        Raises:
            KerasGPTError: it describes something other than a GPT-2, or a part we do not have.
        """
        if values.get("model_type", "gpt2") != "gpt2":
            raise KerasGPTError(f"{source}: model_type is '{values['model_type']}', only 'gpt2' is supported")
        if values.get("add_cross_attention"):
            raise KerasGPTError(f"{source}: add_cross_attention is set; a GPT-2 here is a decoder alone")
        words = {ours: (theirs, *_OTHER_NAMES.get(theirs, ())) for ours, theirs in _HUGGINGFACE_NAMES.items()}
        names = {ours: next((word for word in known if word in values), "") for ours, known in words.items()}
        fields = {ours: values[theirs] for ours, theirs in names.items() if theirs}
        size = fields.get("vocabulary_size", cls.vocabulary_size)
        for name in ("bos_token_id", "eos_token_id"):
            if type(size) is type(fields.get(name)) is int and fields[name] >= size:
                del fields[name]
        return cls.of_json(fields, source, names)


PRESETS: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "gpt2-medium": {"num_layers": 24, "num_heads": 16, "hidden_dim": 1024},
    "gpt2-large": {"num_layers": 36, "num_heads": 20, "hidden_dim": 1280},
    "gpt2-xl": {"num_layers": 48, "num_heads": 25, "hidden_dim": 1600},
    "gpt-nano": {"num_layers": 3, "num_heads": 3, "hidden_dim": 48},
    "gpt-micro": {"num_layers": 4, "num_heads": 4, "hidden_dim": 128},
    "gpt-mini": {"num_layers": 6, "num_heads": 6, "hidden_dim": 192},
}
"""GPT-2's four sizes, and minGPT's three for learning, whose context and vocabulary follow the data."""

GPT2Config.presets = PRESETS


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        KerasGPTError: the file is missing, unreadable, or does not hold a JSON object.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        # Of a number of too many digits Python also says how to let itself be slowed down.
        reason = str(error).partition(";")[0]
        reason = error.strerror or reason if isinstance(error, OSError) else f"not valid JSON: {reason}"
        raise KerasGPTError(f"{path}: cannot read ({reason})") from error
    if not isinstance(values, dict):
        raise KerasGPTError(f"{path}: holds a JSON {type(values).__name__}, not an object")
    return values
