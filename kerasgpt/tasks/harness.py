"""The model ``kerasgpt`` of EleutherAI's lm-evaluation-harness, which judges it like any other there.

Importing this registers it; as a program, this is the harness's own with it registered:

    python -m kerasgpt.tasks.harness run --model kerasgpt --model_args folder=BUNDLE,precision=int8 --tasks T
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from kerasgpt import checks
from kerasgpt.engines import load
from kerasgpt.errors import KerasGPTError, UsageError, known_fields, unknown_name
from kerasgpt.extras import require
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tasks.pairs import fit
from kerasgpt.tasks.stretches import split

try:
    require("lm_eval", "tasks", "the harness's model")
except KerasGPTError as error:
    if __name__ == "__main__":
        sys.exit(f"kerasgpt: {error}")
    raise

from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model

MAX_NEW_TOKENS = 256  # the harness's own default
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the first one counts
ONE_TEXT = {"echo": False, "num_return_sequences": 1}
MODEL_ARGUMENTS = ("folder", "engine", "precision", "num_threads", "max_length", "batch_size")


@register_model("kerasgpt")
class HarnessModel(TemplateLM):  # type: ignore[misc]  # the harness ships no types
    """A model folder, run or bundle, on any engine.

    Args:
        folder: where it lies.
        engine: see `kerasgpt.load`.
        precision: of the exported file.
        num_threads: of ONNX Runtime.
        max_length: tokens of the window that texts are read in; None means the model's context.
        batch_size: given by the harness to every model, and without effect: rows are laid together by length
            as elsewhere here.
        max_batch_size: likewise.
        device: likewise; the engine says where it computes.
        trust_remote_code: likewise; a bundle has no code.
        **unknown: refused.

    Raises:
        UsageError: an argument is unknown, or `max_length` below 2 or beyond the context.
        KerasGPTError: the model cannot be opened.
    """

    def __init__(
        self,
        folder: str,
        engine: str = "auto",
        precision: str | None = None,
        num_threads: int | None = None,
        max_length: int | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: Any = None,
        trust_remote_code: Any = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        for name in unknown:
            raise unknown_name("model argument", name, MODEL_ARGUMENTS)
        self._lm = load(folder, engine, precision, num_threads=num_threads)
        context = self._lm.max_sequence_length
        self._max_length = checks.integer("max_length", context if max_length is None else max_length)
        if not 2 <= self._max_length <= context:
            raise UsageError(
                f"max_length is {max_length}: it must be from 2 to the model's context of {context}"
            )

    @property
    def eot_token_id(self) -> int:
        """The id of ``<|endoftext|>``, which empty contexts and texts begin with."""
        return self._lm.tokenizer.end_of_text_id

    @property
    def max_length(self) -> int:
        """The window, in tokens."""
        return self._max_length

    @property
    def tokenizer_name(self) -> str:
        """What the harness names its cache of requests by."""
        return f"kerasgpt-{self._lm.tokenizer.vocabulary_size}"

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Turn text into ids; GPT-2's vocabulary adds none."""
        return self._lm.tokenizer.encode(string)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        pairs = [  # like `encode_pair` where all of a continuation became part of the context's last token
            fit(before, after or self.tok_encode(texts[1]), self.max_length, "a request")
            for texts, before, after in requests
        ]
        scores = self._lm.score([pair.prompt for pair in pairs], [pair.rest for pair in pairs])
        return [(score.logprob, score.is_greedy) for score in scores]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Natural-log probabilities of whole texts, in windows that share one token."""
        totals = []
        for (text,) in (request.args for request in requests):
            ids = [self.eot_token_id, *self.tok_encode(text)]
            parts = list(split(ids, self.max_length, self.max_length))
            scores = self._lm.score([before for before, _ in parts], [scored for _, scored in parts])
            totals.append(sum(score.logprob for score in scores))
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Continue contexts until one of their stop texts, or so many tokens.

        Of a context that leaves too little room for these the end is read, as by the harness's own models.

        Raises:
            UsageError: there is an unknown word for how to write, or no room for any context.
        """
        asked = [(context, _settings(words)) for context, words in (request.args for request in requests)]
        contexts = [self._with_room(context, settings.max_new_tokens) for context, settings in asked]
        written = self._lm.generate(contexts, [settings for _, settings in asked])
        return [generation.text for generation in written]

    def _with_room(self, context: str, max_new_tokens: int) -> list[int]:
        """The ids of a context, or the last of them, so that so many more tokens fit behind."""
        room = self.max_length - max_new_tokens
        if room < 1:
            raise UsageError(
                f"max_gen_toks {max_new_tokens}: leaves no room for a context in a window of"
                f" {self.max_length} tokens: set it lower, as by --gen_kwargs"
                f" max_gen_toks={self.max_length // 2}"
            )
        return self.tok_encode(context)[-room:]


def _settings(words: Mapping[str, Any]) -> GenerationConfig:
    """The harness's words for how to write; those of its own beside the fields of GenerationConfig.

    Raises:
        UsageError: a word is none of these, or asks for more than one text.
    """
    given = {name: value for name, value in words.items() if value is not None}
    until = [text for name in ("until", "stop") for text in _texts(given.pop(name, ()))]
    limits = [given.pop(name) for name in LIMITS if name in given]
    temperature = float(given.pop("temperature", 0.0 if "do_sample" not in given else 1.0))
    is_sampled = _as_bool(given.pop("do_sample", temperature > 0))
    for name, value in ONE_TEXT.items():
        if given.pop(name, value) != value:
            raise UsageError(f"{name}: the harness judges one text, without its context; leave it out")
    return GenerationConfig(
        max_new_tokens=int(limits[0]) if limits else MAX_NEW_TOKENS,
        stop=tuple(until),
        temperature=temperature if is_sampled else 0.0,
        **{name: _as_number(value) for name, value in known_fields(GenerationConfig, given).items()},
    )


def _texts(value: Any) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value


def _as_number(value: Any) -> Any:
    """A number that a command line or YAML writes as a text, or a whole one with a point; others as given."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_bool(value: Any) -> bool:
    """A switch; one that was written on a command line or in YAML may come as a text."""
    return value.strip().lower() in ("true", "yes", "on", "1") if isinstance(value, str) else bool(value)


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except KerasGPTError as refused:
        print(f"kerasgpt: {refused}", file=sys.stderr)
        sys.exit(refused.exit_code)
