"""GPT2Config and GenerationConfig: frozen settings, the size presets, and their Hugging Face JSON form."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from kerasgpt.errors import KerasGPTError, UsageError, unknown_name

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


@dataclass(frozen=True)
class GPT2Config:
    """The shape and the settings of a GPT-2.

    Args:
        vocabulary_size: V, number of token ids.
        max_sequence_length: the context, in tokens; the number of learned positions.
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
        for name in ("vocabulary_size", "max_sequence_length", "num_layers", "num_heads", "hidden_dim"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: it must be at least 1")
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

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> Self:
        """Build the configuration of a named size, with some fields changed.

        Raises:
            UsageError: no such preset or field.
        """
        if name not in PRESETS:
            raise unknown_name("preset", name, PRESETS)
        return cls(**{**PRESETS[name], **known_fields(cls, overrides)})

    def replace(self, **overrides: Any) -> Self:
        """A copy with some fields changed.

        Raises:
            UsageError: no such field.
        """
        return dataclasses.replace(self, **known_fields(type(self), overrides))

    def to_dict(self) -> dict[str, Any]:
        """All fields, by their names here."""
        return dataclasses.asdict(self)

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

        Raises:
            KerasGPTError: it describes something other than a GPT-2, or a part we do not have.
        """
        if values.get("model_type", "gpt2") != "gpt2":
            raise KerasGPTError(f"{source}: model_type is '{values['model_type']}', only 'gpt2' is supported")
        if values.get("add_cross_attention"):
            raise KerasGPTError(f"{source}: add_cross_attention is set; a GPT-2 here is a decoder alone")
        fields = {ours: values[theirs] for ours, theirs in _HUGGINGFACE_NAMES.items() if theirs in values}
        if "max_sequence_length" not in fields and "n_ctx" in values:
            fields["max_sequence_length"] = values["n_ctx"]
        try:
            return cls(**fields)
        except (UsageError, TypeError) as error:
            raise KerasGPTError(f"{source}: {error}") from error


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


# Settings that Hugging Face's generation_config.json has under the same name.
_SHARED_SETTINGS = (
    "max_new_tokens",
    "min_new_tokens",
    "min_length",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "bad_words_ids",
    "num_beams",
    "length_penalty",
    "early_stopping",
    "num_return_sequences",
    "prompt_lookup_num_tokens",
)

# Settings that say nothing where the most probable token is taken.
_SAMPLING_SETTINGS = ("temperature", "top_k", "top_p", "min_p", "typical_p")

# Settings that they do not have; in their file they stand under our name, and they pass them over.
_OWN_SETTINGS = ("presence_penalty", "frequency_penalty", "allowed_token_ids")

_LIMITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_new_tokens": (lambda value: value >= 0, "0 or more"),
    "min_new_tokens": (lambda value: value >= 0, "0 (off) or more"),
    "min_length": (lambda value: value >= 0, "0 (off) or more"),
    "temperature": (lambda value: 0 <= value < inf, "0 (greedy) or a positive number"),
    "top_k": (lambda value: value >= 0, "0 (off) or more"),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and at most 1 (off)"),
    "min_p": (lambda value: 0 <= value <= 1, "from 0 (off) to 1"),
    "typical_p": (lambda value: 0 < value <= 1, "above 0 and at most 1 (off)"),
    "repetition_penalty": (lambda value: 0 < value < inf, "a positive number, 1 being off"),
    "presence_penalty": (isfinite, "a number, 0 being off"),
    "frequency_penalty": (isfinite, "a number, 0 being off"),
    "no_repeat_ngram_size": (lambda value: value >= 0, "0 (off) or more"),
    "num_beams": (lambda value: value >= 1, "1 (off) or more"),
    "length_penalty": (isfinite, "a number"),
    "early_stopping": (lambda value: value in (True, False, "never"), "true, false or 'never'"),
    "num_return_sequences": (lambda value: value >= 1, "1 or more"),
    "prompt_lookup_num_tokens": (lambda value: value >= 0, "0 (off) or more"),
}
"""Field of GenerationConfig -> what holds for it, and that in words."""


class HasTextIds(Protocol):
    """A model's configuration, as far as text needs it."""

    @property
    def bos_token_id(self) -> int | None:
        """Begins a text."""

    @property
    def eos_token_id(self) -> int | None:
        """Ends a text."""


@dataclass(frozen=True)
class GenerationConfig:
    """How to write text; the default is greedy decoding of 64 new tokens, all else being off.

    The words and their meaning are those of Hugging Face's ``generate``, where it has them.

    Args:
        max_new_tokens: limit of the continuation.
        min_new_tokens: end of text is not chosen before so many tokens.
        min_length: the same, prompt and continuation counted together.
        temperature: divides the logits before sampling; 0 means greedy.
        top_k: keep only the k most probable tokens; 0 means all.
        top_p: keep the smallest set whose probability reaches p (nucleus sampling, Holtzman et al.
            2020, arXiv:1904.09751); 1 means all.
        min_p: drop tokens less probable than p times the most probable (arXiv:2407.01082); 0 means none.
        typical_p: keep the tokens whose information is nearest to the expected one, up to probability p
            (Meister et al. 2022, arXiv:2202.00666); 1 means all.
        repetition_penalty: divides the positive and multiplies the negative logits of tokens already in
            the text (CTRL, Keskar et al. 2019, arXiv:1909.05858); 1 means off.
        presence_penalty: taken off the logits of tokens that the continuation has, as in OpenAI's API.
        frequency_penalty: taken off them once for each time that the continuation has them.
        no_repeat_ngram_size: so many tokens in a row never come twice in prompt and continuation; 0
            means off.
        bad_words_ids: sequences of ids, none of which is written out.
        allowed_token_ids: the only ids ever chosen, end of text being one of them only if it is listed;
            none listed means all.
        logit_bias: id -> a number added to its logit.
        num_beams: hypotheses kept by beam search; 1 means no beam search. Beams are not sampled.
        length_penalty: a hypothesis' log-probability is divided by its length to this power.
        early_stopping: True ends the search with `num_beams` ended hypotheses; False when a better one is
            unlikely; ``"never"`` when there cannot be one.
        num_return_sequences: continuations of each prompt, sampled or the best beams.
        seed: of the sampling; continuation i of a request draws from row seed ``seed + i``.
        stop: strings that end the text; they are not part of it.
        skip_special_tokens: leave special tokens out of the text.
        echo: begin text, ids and log-probabilities with those of the prompt.
        prompt_lookup_num_tokens: longest draft that the text itself foretells and one step checks, for one
            continuation alone on ONNX; drafts grow and pause by how much of them comes true. 0 means off.
            See `kerasgpt.generation.speculation`.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    skip_special_tokens: bool = True
    typical_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    allowed_token_ids: tuple[int, ...] = ()
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    min_new_tokens: int = 0
    min_length: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    num_return_sequences: int = 1
    echo: bool = False
    prompt_lookup_num_tokens: int = 0

    def __post_init__(self) -> None:
        given: object = self.stop  # one string is a natural mistake, and would be taken letter by letter
        stop = (given,) if isinstance(given, str) else self.stop
        bias = {int(index): float(value) for index, value in dict(self.logit_bias).items()}
        object.__setattr__(self, "stop", tuple(text for text in stop if text))
        object.__setattr__(self, "bad_words_ids", tuple(tuple(word) for word in self.bad_words_ids))
        object.__setattr__(self, "allowed_token_ids", tuple(self.allowed_token_ids))
        object.__setattr__(self, "logit_bias", bias)
        for name, (holds, wanted) in _LIMITS.items():
            if not holds(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)}: it must be {wanted}")
        if not all(self.bad_words_ids):
            raise UsageError("bad_words_ids holds a word without ids: every text has that one; leave it out")
        if not all(map(isfinite, bias.values())):
            raise UsageError(
                f"logit_bias is {bias}: each must be a number; use bad_words_ids to forbid a token"
            )
        self._check_returned()

    def _check_returned(self) -> None:
        count, beams = self.num_return_sequences, self.num_beams
        if beams > 1 and not self.is_greedy:
            raise UsageError(
                f"num_beams {beams} with temperature {self.temperature:g}: beams are not sampled; drop one"
            )
        if 1 < beams < count:
            raise UsageError(
                f"num_return_sequences {count} of {beams} beams: set num_beams to {count} or more"
            )
        if count > 1 == beams and self.is_greedy:
            raise UsageError(
                f"num_return_sequences {count}: greedy ones are all the same; set a temperature or num_beams"
            )

    @property
    def is_greedy(self) -> bool:
        """Whether the most probable token is taken at each step, or the most probable beams."""
        return self.temperature == 0

    def changes(self) -> dict[str, Any]:
        """The settings that make the output another than the default's: name -> value.

        An engine that can do only some things asks here what is wanted of it. Settings that have no say,
        such as `top_k` without a temperature, are left out.

        >>> GenerationConfig(top_k=5, num_beams=4, max_new_tokens=9).changes()
        {'max_new_tokens': 9, 'num_beams': 4}
        """
        idle = {*_SAMPLING_SETTINGS, "seed"} if self.is_greedy else set()
        if self.num_beams == 1:
            idle |= {"length_penalty", "early_stopping"}
        names = [each.name for each in dataclasses.fields(self) if each.name not in idle]
        default = GenerationConfig()
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value != getattr(default, name)}

    def to_huggingface(self, config: HasTextIds) -> dict[str, Any]:
        """The content of a Hugging Face ``generation_config.json`` for a model of this configuration.

        What belongs to one request, `seed`, `skip_special_tokens` and `echo`, is not part of it.
        """
        changed = self.changes()
        # They take 50 for top_k where there is none, so that it is always said.
        always = {"max_new_tokens"} if self.is_greedy else {"max_new_tokens", "temperature", "top_k"}
        shared = (*_SHARED_SETTINGS, *_SAMPLING_SETTINGS, *_OWN_SETTINGS)
        content = {
            "bos_token_id": config.bos_token_id,
            "eos_token_id": config.eos_token_id,
            "pad_token_id": config.eos_token_id,
            "do_sample": not self.is_greedy,
            **{name: getattr(self, name) for name in shared if name in changed or name in always},
        }
        if self.bad_words_ids:
            content["bad_words_ids"] = [list(word) for word in self.bad_words_ids]
        if self.allowed_token_ids:
            content["allowed_token_ids"] = list(self.allowed_token_ids)
        if self.logit_bias:
            content["sequence_bias"] = [[[index], value] for index, value in self.logit_bias.items()]
        if self.stop:
            content["stop_strings"] = list(self.stop)
        return content

    @classmethod
    def from_huggingface(cls, values: Mapping[str, Any]) -> Self:
        """Read a ``generation_config.json``; words that mean nothing here are left alone.

        Raises:
            UsageError: it asks for what is impossible here, such as sampled beams.
        """
        names = [*_SHARED_SETTINGS, *_OWN_SETTINGS]
        given: dict[str, Any] = (
            {"temperature": 1.0, "top_k": 50} if values.get("do_sample") else {}
        )  # what they take
        names += _SAMPLING_SETTINGS if values.get("do_sample") else ()
        given |= {name: values[name] for name in names if values.get(name) is not None}
        if values.get("stop_strings"):
            given["stop"] = values["stop_strings"]
        if values.get("sequence_bias"):
            given["logit_bias"] = _single_biases(values["sequence_bias"])
        return cls(**given)


def _single_biases(pairs: Any) -> dict[int, float]:
    """Read a ``sequence_bias``: [[ids], bias] pairs, each of one id."""
    if any(len(ids) != 1 for ids, _ in pairs):
        raise UsageError(
            "sequence_bias has a sequence of several tokens: only single tokens have a bias here"
        )
    return {ids[0]: bias for ids, bias in pairs}


def known_fields(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check that each key is a field of the dataclass, or raise UsageError naming the nearest one."""
    names = [field.name for field in dataclasses.fields(cls)]
    for key in values:
        if key not in names:
            nearest = difflib.get_close_matches(key, names, n=1, cutoff=0.0)
            raise UsageError(f"unknown setting '{key}': did you mean '{nearest[0]}'?")
    return dict(values)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        KerasGPTError: the file is missing, unreadable, or does not hold a JSON object.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not valid JSON: {error}"
        raise KerasGPTError(f"{path}: cannot read ({reason})") from error
    if not isinstance(values, dict):
        raise KerasGPTError(f"{path}: holds a JSON {type(values).__name__}, not an object")
    return values
