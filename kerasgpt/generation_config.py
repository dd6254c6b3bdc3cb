"""GenerationConfig: the frozen settings of writing text, and their Hugging Face JSON form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

from kerasgpt import checks
from kerasgpt.errors import UsageError

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

HIGHEST = 2**31 - 1
"""The largest integer of a setting: what every engine can count."""

MOST_BEAMS = 1024
"""Of a search; each beam has a cache of its own."""

# What float32 can hold together: a bias, times a repetition penalty, over a temperature is below 1e31; and a
# hypothesis' length of up to 2^31 to the power of the length penalty is below 1e281.
_LARGEST_BIAS, _LARGEST_FACTOR, _LARGEST_TEMPERATURE, _LARGEST_POWER = 1e12, 1e9, 1e9, 30
_SMALLEST_SHARE = 1e-30

_INTEGERS: dict[str, tuple[int, int, str]] = {
    "max_new_tokens": (0, HIGHEST, "0 or more"),
    "min_new_tokens": (0, HIGHEST, "0 (off) or more"),
    "min_length": (0, HIGHEST, "0 (off) or more"),
    "top_k": (0, HIGHEST, "0 (off) or more"),
    "no_repeat_ngram_size": (0, HIGHEST, "0 (off) or more"),
    "num_beams": (1, MOST_BEAMS, "1 (off) or more"),
    "num_return_sequences": (1, HIGHEST, "1 or more"),
    "prompt_lookup_num_tokens": (0, HIGHEST, "0 (off) or more"),
}
"""Field of GenerationConfig -> the least and the most that it may be, and the least in words."""

_NUMBERS: dict[str, tuple[Callable[[float], bool], str]] = {
    "temperature": (
        lambda value: value == 0 or 1 / _LARGEST_TEMPERATURE <= value <= _LARGEST_TEMPERATURE,
        "0 (greedy) or a positive number, from 1e-9 to 1e9",
    ),
    "top_p": (lambda value: _SMALLEST_SHARE <= value <= 1, "above 0, from 1e-30 to 1 (off)"),
    "min_p": (lambda value: 0 <= value <= 1, "from 0 (off) to 1"),
    "typical_p": (lambda value: _SMALLEST_SHARE <= value <= 1, "above 0, from 1e-30 to 1 (off)"),
    "repetition_penalty": (
        lambda value: 1 / _LARGEST_FACTOR <= value <= _LARGEST_FACTOR,
        "a positive number, from 1e-9 to 1e9, 1 being off",
    ),
    "presence_penalty": (lambda value: abs(value) <= _LARGEST_BIAS, "from -1e12 to 1e12, 0 being off"),
    "frequency_penalty": (lambda value: abs(value) <= _LARGEST_BIAS, "from -1e12 to 1e12, 0 being off"),
    "length_penalty": (lambda value: abs(value) <= _LARGEST_POWER, "from -30 to 30"),
}
"""Field of GenerationConfig -> what holds for it, and that in words."""

_FLAGS = ("skip_special_tokens", "echo")


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

    The words and their meaning are those of Hugging Face's ``generate``, where it has them. Integers are
    below 2^31, but for the seed; numbers keep within what float32 can reckon with.

    Args:
        max_new_tokens: limit of the continuation.
        min_new_tokens: end of text is not chosen before so many tokens.
        min_length: the same, prompt and continuation counted together; has no say where `min_new_tokens` has.
        temperature: divides the logits before sampling, from 1e-9 to 1e9; 0 means greedy.
        top_k: keep only the k most probable tokens; 0 means all.
        top_p: keep the smallest set whose probability reaches p (nucleus sampling, Holtzman et al.
            2020, arXiv:1904.09751), p at least 1e-30; 1 means all.
        min_p: drop tokens less probable than p times the most probable (arXiv:2407.01082); 0 means none.
        typical_p: keep the tokens whose information is nearest to the expected one, up to probability p
            (Meister et al. 2022, arXiv:2202.00666), p at least 1e-30; 1 means all.
        repetition_penalty: divides the positive and multiplies the negative logits of tokens already in
            the text (CTRL, Keskar et al. 2019, arXiv:1909.05858), from 1e-9 to 1e9; 1 means off.
        presence_penalty: taken off the logits of tokens that the continuation has, as in OpenAI's API; from
            -1e12 to 1e12.
        frequency_penalty: taken off them once for each time that the continuation has them; within the same.
        no_repeat_ngram_size: so many tokens in a row never come twice in prompt and continuation; 0
            means off.
        bad_words_ids: sequences of ids, none of which is written out.
        allowed_token_ids: the only ids ever chosen, end of text being one of them only if it is listed;
            none listed means all.
        logit_bias: id -> a number added to its logit, from -1e12 to 1e12.
        num_beams: hypotheses kept by beam search, up to 1024; 1 means no beam search. Beams are not sampled.
        length_penalty: a hypothesis' log-probability is divided by its length to this power, from -30 to 30.
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
        values: dict[str, Any] = {"seed": checks.integer("seed", self.seed)}
        values |= {name: checks.flag(name, getattr(self, name)) for name in _FLAGS}
        for name, (least, most, words) in _INTEGERS.items():
            wanted = f"{words}, an integer of at most {most}"
            values[name] = checks.integer(name, getattr(self, name), wanted)
            if not least <= values[name] <= most:
                raise checks.refusal(name, values[name], wanted)
        for name, (holds, words) in _NUMBERS.items():
            values[name] = checks.number(name, getattr(self, name), f"a number, {words}")
            if not holds(values[name]):
                raise checks.refusal(name, values[name], words)
        if not (isinstance(self.early_stopping, str) and self.early_stopping == "never"):
            wanted = "true, false or 'never'"
            values["early_stopping"] = checks.flag("early_stopping", self.early_stopping, wanted)
        values["stop"] = checks.texts("stop", self.stop)
        values["bad_words_ids"] = checks.words("bad_words_ids", self.bad_words_ids)
        values["allowed_token_ids"] = checks.ids("allowed_token_ids", self.allowed_token_ids)
        values["logit_bias"] = checks.biases("logit_bias", self.logit_bias, _LARGEST_BIAS)
        if not all(values["bad_words_ids"]):
            raise UsageError("bad_words_ids holds a word without ids: every text has that one; leave it out")
        for name, value in values.items():
            object.__setattr__(self, name, value)
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
            UsageError: it asks for what is impossible here, such as sampled beams, or holds a wrong type.
        """
        is_sampled = checks.flag("do_sample", values.get("do_sample") or False)
        names = [*_SHARED_SETTINGS, *_OWN_SETTINGS, *(_SAMPLING_SETTINGS if is_sampled else ())]
        # What they take where nothing is said.
        given: dict[str, Any] = {"temperature": 1.0, "top_k": 50} if is_sampled else {}
        given |= {name: values[name] for name in names if values.get(name) is not None}
        if values.get("stop_strings"):
            given["stop"] = checks.texts("stop_strings", values["stop_strings"])
        if values.get("sequence_bias"):
            given["logit_bias"] = _single_biases(values["sequence_bias"])
        return cls(**given)


def _single_biases(pairs: Any) -> dict[int, float]:
    """Read a ``sequence_bias``: [[ids], bias] pairs, each of one id."""
    name, wanted = "sequence_bias", "a sequence of pairs [[id], number]"
    biases: dict[int, float] = {}
    for pair in checks.sequence(name, pairs, wanted):
        members = checks.sequence(f"a member of {name}", pair, "a pair [[id], number]")
        if len(members) != 2:
            raise checks.refusal(f"a member of {name}", pair, "a pair [[id], number]")
        ids = checks.ids(f"a sequence of {name}", members[0])
        if len(ids) != 1:
            raise UsageError(
                "sequence_bias has a sequence of several tokens: only single tokens have a bias here"
            )
        biases[ids[0]] = checks.number(f"a bias of {name}", members[1])
    return biases
