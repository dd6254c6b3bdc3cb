"""TensorFlow Serving over REST: predict calls with the standard library alone."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from kerasgpt.serving.predict_client import Arrays, Predict, ServerAnswerError

_LONGEST_REASON: Final = 300  # characters of a server's own words


def rest_predict(url: str, timeout_seconds: float = 60.0) -> Predict:
    """A predict function over a server's REST interface, in its column form.

    JSON has no types: whole numbers come back as int64, others as float32, texts as bytes.

    Args:
        url: of the model, such as ``http://localhost:8501/v1/models/story``, with a version or without.
        timeout_seconds: how long the server may be silent.

    Returns:
        The function. It raises a ServerAnswerError where nothing answers, or what answers is no prediction.
    """
    url = url.removesuffix(":predict").rstrip("/")

    def predict(signature: str, inputs: Arrays) -> Arrays:
        columns = {name: _plain(array) for name, array in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        outputs = _fetch(f"{url}:predict", timeout_seconds, body).get("outputs")
        if outputs is None:
            raise ServerAnswerError(
                f"{url}: {signature} is answered without outputs; is it TensorFlow Serving?"
            )
        if not isinstance(outputs, dict):  # of a signature with one output the server leaves out its name
            outputs = {_only_output(url, signature, timeout_seconds): outputs}
        return {name: _array(url, name, value) for name, value in outputs.items()}

    return predict


def _fetch(url: str, timeout_seconds: float, body: bytes | None = None) -> dict[str, Any]:
    """Ask a URL for a JSON object: POST a body, or GET."""
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
            content = response.read()
    except urllib.error.HTTPError as error:
        raise ServerAnswerError(f"{url}: the server refuses (HTTP {error.code}): {_words(error)}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise ServerAnswerError(
                f"{url}: no answer within {timeout_seconds:g} s; ask for fewer tokens, or wait longer"
            ) from error
        raise ServerAnswerError(f"{url}: nothing answers ({reason}); is the server running?") from error
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ServerAnswerError(
            f"{url}: the answer is no JSON ({error}); is it TensorFlow Serving?"
        ) from error
    if not isinstance(answer, dict):
        raise ServerAnswerError(f"{url}: the answer is no JSON object; is it TensorFlow Serving?")
    return answer


def _words(error: urllib.error.HTTPError) -> str:
    """What a server says of its refusal: TensorFlow Serving's {"error": ...}, or whatever it sends."""
    try:
        content = error.read()
        answer = json.loads(content)
    except (ValueError, RecursionError, OSError, http.client.HTTPException):
        return error.reason
    words = answer.get("error", error.reason) if isinstance(answer, dict) else error.reason
    return str(words)[:_LONGEST_REASON]


def _only_output(url: str, signature: str, timeout_seconds: float) -> str:
    metadata: Any = _fetch(f"{url}/metadata", timeout_seconds)
    try:
        (name,) = metadata["metadata"]["signature_def"]["signature_def"][signature]["outputs"]
    except (KeyError, TypeError, ValueError) as error:
        raise ServerAnswerError(f"{url}/metadata: does not name the output of {signature}") from error
    return str(name)


def _plain(array: np.ndarray[Any, Any]) -> Any:
    """An array as JSON: texts in base64, so that any bytes pass."""
    if array.dtype == object or array.dtype.kind == "S":
        return [_plain(each) if isinstance(each, np.ndarray) else _base64(each) for each in array]
    return array.tolist()


def _base64(text: bytes) -> Mapping[str, str]:
    return {"b64": base64.b64encode(text).decode()}


def _array(url: str, name: str, value: Any) -> np.ndarray[Any, Any]:
    """JSON as an array; the server writes texts as they are."""
    try:
        array = np.array(value)
        if array.dtype.kind == "U":
            texts = np.array(value, object)  # numpy's own texts lose the NULs at their ends
            return np.array([text.encode() for text in texts.flat], object).reshape(texts.shape)
        if array.dtype.kind == "f":
            return array.astype(np.float32)
    except (ValueError, OverflowError, AttributeError) as error:  # the last of texts among numbers
        raise ServerAnswerError(f"{url}: output {name} is no array ({error})") from error
    if array.dtype.kind not in "iub":
        raise ServerAnswerError(f"{url}: output {name} is neither numbers nor texts")
    return array
