"""Streaming from a server that only answers predict calls: some tokens a call, the KV cache to and fro."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from kerasgpt import checks
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation.samplers import seeds_of_rows
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tokenizer.vocabulary import well_formed

Arrays: TypeAlias = Mapping[str, np.ndarray[Any, Any]]
Predict: TypeAlias = Callable[[str, Arrays], Arrays]
"""Asks a signature by its name: inputs by name -> outputs by name, each an array (B, ...), texts as bytes."""

PREFILL: Final = "prefill"
DECODE: Final = "decode"
STATE: Final = {
    "keys": np.float32,
    "values": np.float32,
    "token_ids": np.int64,
    "num_prompt_tokens": np.int64,
    "num_tokens": np.int64,
}
"""What `prefill` gives and `decode` takes and gives again, and the type of each."""

KNOBS: Final = {
    "max_new_tokens": np.int64,
    "temperature": np.float32,
    "top_k": np.int64,
    "top_p": np.float32,
    "min_p": np.float32,
    "repetition_penalty": np.float32,
}
"""Settings that are inputs of `decode` under their own names."""
_MOST_STEPS: Final = 2**31 - 1
_HEEDED: Final = {*KNOBS, "seed", "stop", "prompt_lookup_num_tokens"}  # the last changes no text


class ServerAnswerError(KerasGPTError):
    """A server refuses a request, or answers what is no answer."""


def stream(
    predict: Predict, prompt: str, settings: GenerationConfig | None = None, *, tokens_per_call: int = 8
) -> Iterator[str]:
    """Yield a continuation in pieces, each as soon as a call of the server has written it.

    Nothing is kept on the server between two calls: the cache travels, 2 L D float32 numbers for each token
    of prompt and continuation. So few tokens a call mean an early first piece, many mean little traffic.

    Args:
        predict: such as `kerasgpt.serving.rest.rest_predict`'s, or a function of your own.
        prompt: what is continued; an empty one starts from ``<|endoftext|>``.
        settings: default greedy, 64 tokens.
        tokens_per_call: at most so many are written by a call, 1 or more.

    Raises:
        UsageError: `decode` cannot do what the settings ask.
        ServerAnswerError: the server refuses, or its answers make no sense; pieces already yielded are good.

    ```python
    for piece in stream(rest_predict("http://localhost:8501/v1/models/story"), "Once upon a time"):
        print(piece, end="", flush=True)
    ```
    """
    settings = settings or GenerationConfig()
    _check(prompt, settings, tokens_per_call)
    return _pieces(predict, prompt, settings, tokens_per_call)


def _pieces(predict: Predict, prompt: str, settings: GenerationConfig, tokens_per_call: int) -> Iterator[str]:
    inputs = _inputs(settings)
    asked = {
        "prompts": np.array([well_formed(prompt).encode()], object),
        "max_new_tokens": inputs["max_new_tokens"],
    }
    state = _state(PREFILL, predict(PREFILL, asked))
    num_steps, num_left = np.array([tokens_per_call], np.int64), settings.max_new_tokens
    while True:
        outputs = predict(DECODE, {**state, **inputs, "num_steps": num_steps})
        state = _state(DECODE, outputs)
        piece, num_new = _text(outputs, "text"), _only(DECODE, outputs, "num_new_tokens", "iu")
        is_over = bool(_text(outputs, "finish_reason"))
        least, most = 0 if is_over else 1, min(tokens_per_call, num_left)
        if not least <= num_new <= most:
            going_on = "" if is_over else ", and says that the text goes on"
            raise ServerAnswerError(
                f"{DECODE}: the server wrote {num_new} tokens where {least} to {most} were asked for"
                f"{going_on}; is it a SavedModel of kerasgpt?"
            )
        if not np.isfinite(_logprobs(outputs)[: int(num_new)]).all():
            raise ServerAnswerError(
                f"{DECODE}: the server's logits are not finite: its model is damaged, or its training has"
                f" diverged"
            )
        if piece:
            yield piece
        if is_over:
            return
        num_left -= int(num_new)


def _check(prompt: str, settings: GenerationConfig, tokens_per_call: int) -> None:
    if not isinstance(prompt, str):
        raise checks.refusal("prompt", prompt, "a text")
    number = f"1 or more, an integer of at most {_MOST_STEPS}"
    if not 1 <= checks.integer("tokens_per_call", tokens_per_call, number) <= _MOST_STEPS:
        raise checks.refusal("tokens_per_call", tokens_per_call, number)
    wanted = {name: value for name, value in settings.changes().items() if name not in _HEEDED}
    if len(settings.stop) > 1:
        wanted["stop"] = f"{len(settings.stop)} texts"
    for name, value in wanted.items():
        raise UsageError(f"{name} {value}: a served SavedModel cannot do that; leave it out")


def _inputs(settings: GenerationConfig) -> dict[str, np.ndarray[Any, Any]]:
    """Settings as inputs of one row."""
    inputs: dict[str, np.ndarray[Any, Any]] = {
        name: np.array([getattr(settings, name)], dtype) for name, dtype in KNOBS.items()
    }
    inputs["seed"] = seeds_of_rows([settings.seed]).view(np.int64)
    stop = "".join(settings.stop[:1])  # half a surrogate pair is in no text, and ends none
    inputs["stop"] = np.array([stop.encode() if well_formed(stop) == stop else b""], object)
    return inputs


def _state(signature: str, outputs: Arrays) -> dict[str, np.ndarray[Any, Any]]:
    """What the next call needs, as long as the server reports no error."""
    if not isinstance(outputs, Mapping):
        raise ServerAnswerError(f"{signature}: the server answers no named outputs")
    if error := _text(outputs, "error", signature):
        raise ServerAnswerError(f"{signature}: the server refuses: {error}")
    state = {}
    for name, dtype in STATE.items():
        array = _row(signature, outputs, name)
        if array.dtype.kind != np.dtype(dtype).kind:
            raise ServerAnswerError(
                f"{signature}: the server's {name} is {array.dtype}, not {np.dtype(dtype)}"
            )
        state[name] = array.astype(dtype, copy=False)
    return state


def _row(signature: str, outputs: Arrays, name: str) -> np.ndarray[Any, Any]:
    """An output of one row."""
    if name not in outputs:
        given = ", ".join(sorted(outputs)) or "nothing"
        raise ServerAnswerError(f"{signature}: the server's answer has no {name}; it has {given}")
    array = np.asarray(outputs[name])
    if array.ndim == 0 or len(array) != 1:
        raise ServerAnswerError(f"{signature}: the server's {name} has shape {array.shape}, not one row")
    return array


def _only(signature: str, outputs: Arrays, name: str, kinds: str = "") -> Any:
    """The value of an output that has one a row, of one of numpy's kinds if some are given."""
    array = _row(signature, outputs, name)
    if array.shape != (1,):
        raise ServerAnswerError(f"{signature}: the server's {name} has shape {array.shape}, not (1,)")
    if kinds and array.dtype.kind not in kinds:
        raise ServerAnswerError(f"{signature}: the server's {name} is {array.dtype}, not int64")
    return array[0]


def _logprobs(outputs: Arrays) -> np.ndarray[Any, Any]:
    """Those of one row."""
    array = _row(DECODE, outputs, "logprobs")
    if array.ndim != 2 or array.dtype.kind not in "fiu":  # JSON's whole numbers are integers
        raise ServerAnswerError(
            f"{DECODE}: the server's logprobs are {array.dtype} of shape {array.shape}, not numbers (1, n)"
        )
    found: np.ndarray[Any, Any] = array[0]
    return found


def _text(outputs: Arrays, name: str, signature: str = DECODE) -> str:
    value = _only(signature, outputs, name)
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise ServerAnswerError(f"{signature}: the server's {name} is no UTF-8 ({error})") from error
