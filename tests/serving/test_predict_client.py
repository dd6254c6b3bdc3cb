"""Pieces join to what generate writes; a server that errs or lies is a sentence, never a hang."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kerasgpt import GenerationConfig
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.in_graph import language_model
from kerasgpt.serving import predict_client
from kerasgpt.serving.predict_client import DECODE, PREFILL, STATE, ServerAnswerError, stream
from kerasgpt.serving.rest import rest_predict
from kerasgpt.serving.saved_model import saved_model_predict

SETTINGS = GenerationConfig(max_new_tokens=21)


@pytest.fixture
def predict(fake_loaded: Any) -> predict_client.Predict:
    return saved_model_predict(fake_loaded)


def whole(predict: predict_client.Predict, prompt: str, settings: GenerationConfig) -> str:
    inputs = {"prompts": np.array([prompt.encode()], object), **predict_client._inputs(settings)}
    return predict("generate", inputs)["text"][0].decode()


@pytest.mark.parametrize("tokens_per_call", [1, 4, 7, 100])
@pytest.mark.parametrize("prompt", ["", "hello", "naïve 北京 🙂\n"])
def test_the_pieces_are_the_text(predict: predict_client.Predict, prompt: str, tokens_per_call: int) -> None:
    pieces = list(stream(predict, prompt, SETTINGS, tokens_per_call=tokens_per_call))
    assert "".join(pieces) == whole(predict, prompt, SETTINGS)
    assert len(pieces) == math.ceil(21 / tokens_per_call)


def test_over_rest_the_pieces_are_the_same(predict: predict_client.Predict, url: str) -> None:
    settings = GenerationConfig(max_new_tokens=30, temperature=0.7, seed=2**63 + 5)
    pieces = list(stream(rest_predict(url), "naïve 🙂", settings, tokens_per_call=7))
    assert pieces == list(stream(predict, "naïve 🙂", settings, tokens_per_call=7))
    assert "".join(pieces) != whole(predict, "naïve 🙂", SETTINGS)  # the settings arrive


def test_pieces_come_before_the_text_is_complete(predict: predict_client.Predict) -> None:
    calls = []

    def counted(signature: str, inputs: Any) -> Any:
        calls.append(signature)
        return predict(signature, inputs)

    pieces = stream(counted, "hello", SETTINGS, tokens_per_call=4)
    assert calls == []
    assert len(next(pieces)) == 4
    assert calls == [PREFILL, DECODE]


def test_nothing_to_write_ends_at_once(predict: predict_client.Predict) -> None:
    assert list(stream(predict, "hello", GenerationConfig(max_new_tokens=0))) == []


@pytest.mark.parametrize("number", [0, 2**63, "8", 1.5, None])
def test_how_many_tokens_a_call_is_checked_before_any(number: Any) -> None:
    with pytest.raises(
        UsageError, match=r"tokens_per_call is .*: it must be 1 or more, an integer of at most"
    ):
        stream(predict_client.stream, "hello", SETTINGS, tokens_per_call=number)


def test_a_prompt_is_a_text(predict: predict_client.Predict) -> None:
    with pytest.raises(UsageError, match=r"prompt is \[1, 2\]: it must be a text"):
        stream(predict, [1, 2], SETTINGS)  # type: ignore[arg-type]


def test_a_rows_error_is_raised(predict: predict_client.Predict) -> None:
    def broken(signature: str, inputs: Any) -> Any:
        inputs = {**inputs, "temperature": np.array([np.nan], np.float32)} if signature == DECODE else inputs
        return predict(signature, inputs)

    with pytest.raises(ServerAnswerError, match="^decode: the server refuses: temperature is not a number"):
        list(stream(broken, "hello", SETTINGS))
    with pytest.raises(ServerAnswerError, match="^prefill: the server refuses: the prompt is too long"):
        list(stream(predict, "x" * 2000, SETTINGS))


def altered(predict: predict_client.Predict, signature: str, **outputs: Any) -> predict_client.Predict:
    """A server with other outputs; None leaves one out."""

    def answer(asked: str, inputs: Any) -> Any:
        good = dict(predict(asked, inputs))
        given = {**good, **outputs} if asked == signature else good
        return {name: value for name, value in given.items() if value is not None}

    return answer


ROW = np.array([1])
LENGTH = np.array([b"length"], object)
NONSENSE: dict[str, tuple[str, dict[str, Any], str]] = {
    "no cache": (PREFILL, {"keys": None}, "prefill: the server's answer has no keys"),
    "no error output": (PREFILL, {"error": None}, "has no error"),
    "a cache of texts": (PREFILL, {"keys": np.array([b"x"], object)}, "keys is object, not float32"),
    "two rows": (DECODE, {"num_tokens": np.array([1, 2])}, r"num_tokens has shape \(2,\), not one row"),
    "a scalar": (DECODE, {"num_new_tokens": np.array(3)}, r"num_new_tokens has shape \(\), not one row"),
    "a matrix": (DECODE, {"num_new_tokens": np.ones((1, 2))}, r"shape \(1, 2\), not \(1,\)"),
    "no progress": (DECODE, {"num_new_tokens": ROW * 0}, "wrote 0 tokens where 1 to 4 were asked for"),
    "fewer than none": (DECODE, {"num_new_tokens": ROW * -1}, "wrote -1 tokens"),
    "too many": (DECODE, {"num_new_tokens": ROW * 5}, "wrote 5 tokens"),
    "more than are left": (
        DECODE,
        {"num_new_tokens": ROW * 1000, "finish_reason": LENGTH},
        "0 to 4 were asked",
    ),
    "fewer, at the end": (DECODE, {"num_new_tokens": ROW * -1, "finish_reason": LENGTH}, "wrote -1 tokens"),
    "a text for a number": (DECODE, {"num_new_tokens": np.array([b"x"], object)}, "is object, not int64"),
    "a fraction": (DECODE, {"num_new_tokens": np.array([1.5])}, "num_new_tokens is float64, not int64"),
    "flat numbers": (DECODE, {"logprobs": np.array([-0.5])}, r"logprobs are float64 of shape \(1,\), not"),
    "texts for numbers": (DECODE, {"logprobs": np.array([[b"a"]], object)}, "logprobs are object of shape"),
    "no end": (DECODE, {"finish_reason": np.array([b""], object)}, "says that the text goes on"),
    "no numbers": (DECODE, {"logprobs": np.full((1, 4), np.nan)}, "the server's logits are not finite"),
    "half a character": (DECODE, {"text": np.array([b"\xf0\x9f"], object)}, "text is no UTF-8"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_told(predict: predict_client.Predict, case: str) -> None:
    signature, outputs, sentence = NONSENSE[case]
    with pytest.raises(ServerAnswerError, match=sentence):
        list(stream(altered(predict, signature, **outputs), "hello", SETTINGS, tokens_per_call=4))


def test_no_outputs_at_all_is_told() -> None:
    with pytest.raises(ServerAnswerError, match="answers no named outputs"):
        list(stream(lambda *_: [1, 2], "hello"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (GenerationConfig(num_beams=3), "num_beams 3: a served SavedModel cannot do that"),
        (GenerationConfig(stop=("a", "b")), "stop 2 texts"),
    ],
)
def test_what_the_graph_cannot_do_is_refused_before_any_call(
    settings: GenerationConfig, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        stream(no_call, "hello", settings)
    with pytest.raises(UsageError, match="tokens_per_call is 0"):
        stream(no_call, "hello", tokens_per_call=0)


no_call: Callable[..., Any] = pytest.fail


def test_half_a_surrogate_pair_is_read_as_the_engines_read_it(predict: predict_client.Predict) -> None:
    asked = []

    def told(signature: str, inputs: predict_client.Arrays) -> predict_client.Arrays:
        asked.append(inputs)
        return predict(signature, inputs)

    list(stream(told, "a\ud800", GenerationConfig(stop="\ud800", prompt_lookup_num_tokens=4)))
    assert asked[0]["prompts"].tolist() == ["a\ufffd".encode()]
    assert asked[1]["stop"].tolist() == [b""]


def test_the_settings_are_those_of_the_graph() -> None:
    assert predict_client.KNOBS == language_model.KNOBS
    assert issubclass(ServerAnswerError, KerasGPTError)
    assert set(STATE) == {"keys", "values", "token_ids", "num_prompt_tokens", "num_tokens"}
