"""REST over a real socket: every value as it was, and every failure a sentence."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest

from kerasgpt.serving.predict_client import PREFILL, ServerAnswerError
from kerasgpt.serving.rest import rest_predict

TEXTS = np.array([b"hello", b"", 'naïve 北京 🙂 "\\\n\x00'.encode()], object)


def test_every_bit_of_a_cache_arrives(url: str, fake_loaded: Any) -> None:
    inputs = {"prompts": TEXTS, "max_new_tokens": np.array([3, 0, 9])}
    there = rest_predict(url)(PREFILL, inputs)
    here = fake_loaded.signatures[PREFILL](**inputs)
    assert set(there) == set(here)
    for name, tensor in here.items():
        np.testing.assert_array_equal(there[name], tensor.numpy())
        assert there[name].dtype == tensor.numpy().dtype, name


def test_a_single_output_has_its_name(url: str) -> None:
    answer = rest_predict(url)("serving_default", {"prompts": TEXTS})
    assert list(answer) == ["text"]
    assert answer["text"].tolist() == [text.upper() for text in TEXTS]


@pytest.mark.parametrize("end", ["", "/", ":predict", "/versions/1", "/versions/1:predict"])
def test_the_url_may_be_written_in_full(url: str, end: str) -> None:
    assert rest_predict(url + end)("serving_default", {"prompts": TEXTS})["text"][0] == b"HELLO"


@pytest.mark.parametrize(
    ("signature", "inputs", "words"),
    [
        ("nonsense", {"prompts": TEXTS}, r'HTTP 400\): Serving signature name: "nonsense" not found'),
        ("generate", {"prompts": TEXTS}, r"HTTP 400\): Missing named input: "),
        ("serving_default", {"prompts": np.array([1])}, r"HTTP 400\): JSON Value: 1 is not of expected type"),
    ],
)
def test_a_refusal_has_the_servers_words(url: str, signature: str, inputs: Any, words: str) -> None:
    with pytest.raises(ServerAnswerError, match=words):
        rest_predict(url)(signature, inputs)


def test_an_unknown_model_is_a_refusal(url: str) -> None:
    with pytest.raises(ServerAnswerError, match=r"HTTP 404\): Servable not found"):
        rest_predict(url.replace("fake", "other"))("serving_default", {"prompts": TEXTS})


@contextmanager
def answering(content: bytes, code: int = 200, delay_seconds: float = 0.0) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))  # else the answer may be cut off
            time.sleep(delay_seconds)
            self.send_response(code)
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Quietly."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/models/m"
        server.shutdown()


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (b"<html>It works!</html>", 200, "the answer is no JSON"),
        (b"[1, 2]", 200, "the answer is no JSON object"),
        (b"{}", 200, "answered without outputs; is it TensorFlow Serving"),
        (b'{"outputs": [1]}', 200, "/metadata: does not name the output of f"),
        (b'{"outputs": {"a": [[1], [2, 3]]}}', 200, "output a is no array"),
        (b'{"outputs": {"a": [null]}}', 200, "output a is neither numbers nor texts"),
        (b"Bad Gateway", 502, r"the server refuses \(HTTP 502\): Bad Gateway"),
        (b"[]", 500, r"the server refuses \(HTTP 500\): Internal Server Error"),
        (b"\xff\xfe", 200, "the answer is no JSON"),
        pytest.param(b"[" * 20_000, 200, "the answer is no JSON", id="too deep"),
        pytest.param(b"[" * 20_000, 500, r"refuses \(HTTP 500\): Internal", id="too deep in a refusal"),
        (b'{"outputs": {"a": [["a", 1]]}}', 200, "output a is n"),
    ],
)
def test_an_answer_that_is_none_is_told(content: bytes, code: int, sentence: str) -> None:
    with answering(content, code) as url, pytest.raises(ServerAnswerError, match=sentence):
        rest_predict(url)("f", {"x": np.array([1])})


def test_a_silent_server_is_not_waited_for() -> None:
    started = time.monotonic()
    with (
        answering(b"{}", delay_seconds=1.5) as url,
        pytest.raises(
            ServerAnswerError, match=r"no answer within 0.2 s; ask for fewer tokens, or wait longer"
        ),
    ):
        try:
            rest_predict(url, timeout_seconds=0.2)("f", {"x": np.array([1])})
        finally:
            waited = time.monotonic() - started
    assert waited < 1.5


def test_no_server_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1/models/m"
        with pytest.raises(
            ServerAnswerError, match=r"nothing answers \(.*refused.*\); is the server running"
        ):
            rest_predict(url)("f", {"x": np.array([1])})
    with pytest.raises(ServerAnswerError, match="nothing answers"):
        rest_predict("localhost:8501")("f", {})
