"""The model ``kerasgpt`` of EleutherAI's lm-evaluation-harness, which judges it like any other there.

Importing this registers it; as a program, this is the harness's own with it registered:

    python -m kerasgpt.tasks.harness run --model kerasgpt --model_args folder=BUNDLE,precision=int8 --tasks T
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from kerasgpt.engines import load
from kerasgpt.errors import MissingExtraError
from kerasgpt.extras import require
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tasks.pairs import fit
from kerasgpt.tasks.stretches import split

try:
    require("lm_eval", "tasks", "the harness's model")
except MissingExtraError as error:
    if __name__ == "__main__":
        sys.exit(f"kerasgpt: {error}")
    raise

from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model

MAX_NEW_TOKENS = 256  # the harness's own default


@register_model("kerasgpt")
class HarnessModel(TemplateLM):  # type: ignore[misc]  # the harness ships no types
    """A model folder, run or bundle, on any engine.

    Args:
        folder: where it lies.
        engine: see `kerasgpt.load`.
        precision: of the exported file.
        num_threads: of ONNX Runtime.
        **_: what the harness gives every model, such as a device and a batch size; rows are laid together by
            length as elsewhere here.
    """

    def __init__(
        self,
        folder: str,
        engine: str = "auto",
        precision: str | None = None,
        num_threads: int | None = None,
        **_: Any,
    ) -> None:
        super().__init__()
        self._lm = load(folder, engine, precision, num_threads=num_threads)

    @property
    def eot_token_id(self) -> int:
        """The id of ``<|endoftext|>``, which empty contexts and texts begin with."""
        return self._lm.tokenizer.end_of_text_id

    @property
    def max_length(self) -> int:
        """The context, in tokens."""
        return self._lm.max_sequence_length

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
        """Continue contexts until one of their stop texts, or so many tokens."""
        contexts = [context for context, _ in (request.args for request in requests)]
        settings = [_settings(words) for _, words in (request.args for request in requests)]
        return [generation.text for generation in self._lm.generate(contexts, settings)]


def _settings(words: Mapping[str, Any]) -> GenerationConfig:
    """The harness's words for how to write."""
    until = words.get("until") or ()
    limits = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    given = [words[name] for name in limits if words.get(name) is not None]
    temperature = words.get("temperature")
    sampled = _as_bool(words.get("do_sample", temperature is not None))
    return GenerationConfig(
        max_new_tokens=given[0] if given else MAX_NEW_TOKENS,
        stop=(until,) if isinstance(until, str) else tuple(until),
        temperature=float(1.0 if temperature is None else temperature) if sampled else 0.0,
        top_k=int(words.get("top_k") or 0),
        top_p=float(words.get("top_p") or 1.0),
    )


def _as_bool(value: Any) -> bool:
    """A switch; one that was written on a command line or in YAML may come as a text."""
    return value.strip().lower() in ("true", "yes", "on", "1") if isinstance(value, str) else bool(value)


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
