"""A bundle's own prefill and decode, streamed over HTTP: joined, the pieces are what generate writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from kerasgpt import GenerationConfig, load
from kerasgpt.artifacts import SAVED_MODEL
from kerasgpt.serving.predict_client import Arrays, stream
from kerasgpt.serving.rest import rest_predict
from tests.tf_serving.batching import Options, predict_together
from tests.tf_serving.model import Model
from tests.tf_serving.rest import serving

PROMPTS = ["", "ROMEO:", "naïve 北京 🙂", "x" * 300]
SETTINGS = [
    GenerationConfig(max_new_tokens=25),
    GenerationConfig(max_new_tokens=25, temperature=1.2, top_k=40, seed=2**64 - 3, stop=("e",)),
    GenerationConfig(max_new_tokens=7, temperature=0.8, top_p=0.9, repetition_penalty=1.3, seed=5),
    GenerationConfig(max_new_tokens=0),
]


@pytest.fixture(scope="module")
def served(bundle: Path) -> Model:
    return Model(bundle / SAVED_MODEL, "bundle")


@pytest.fixture(scope="module")
def url(served: Model) -> Iterator[str]:
    with serving(served) as url:
        yield url


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: str(settings.changes()))
@pytest.mark.parametrize("tokens_per_call", [1, 4, 50])
def test_the_pieces_are_the_text(
    bundle: Path, url: str, settings: GenerationConfig, tokens_per_call: int
) -> None:
    expected = load(bundle, engine="onnx").generate(PROMPTS, [settings] * len(PROMPTS))
    for index, prompt in enumerate(PROMPTS):  # a row's seed is the request's and the row's number
        own = GenerationConfig(**{**vars(settings), "seed": settings.seed + index})
        pieces = list(stream(rest_predict(url), prompt, own, tokens_per_call=tokens_per_call))
        assert "".join(pieces) == expected[index].text


def test_streams_of_several_callers_share_batches(bundle: Path, served: Model) -> None:
    """Each step of all streams is one batch, caches of different sizes padded by the server."""

    def request(signature: str, inputs: Arrays) -> PredictRequest:
        made = PredictRequest()
        made.model_spec.name, made.model_spec.signature_name = "bundle", signature
        for name, array in inputs.items():
            made.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        return made

    def arrays(response: Any) -> dict[str, np.ndarray]:
        return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}

    def together(signature: str, inputs: list[Arrays]) -> list[dict[str, np.ndarray]]:
        asked = [request(signature, each) for each in inputs]
        answers = predict_together(
            served, asked, Options(pad_variable_length_inputs=True, allowed_batch_sizes=(8,))
        )
        return [arrays(answer) for answer in answers]

    limits = [np.array([count]) for count in (20, 9, 14)]
    prompts = ["ROMEO:", "What light through yonder window breaks", "a"]
    prefilled = together(
        "prefill",
        [
            {"prompts": np.array([prompt.encode()], object), "max_new_tokens": limit}
            for prompt, limit in zip(prompts, limits, strict=True)
        ],
    )
    neutral = {"seed": np.array([0]), "stop": np.array([b""], object), "top_k": np.array([0])}
    neutral |= {name: np.float32([value]) for name, value in (("temperature", 0), ("top_p", 1), ("min_p", 0))}
    neutral |= {"repetition_penalty": np.float32([1]), "num_steps": np.array([3])}
    texts, states = [""] * 3, prefilled
    for _ in range(7):
        names = ("keys", "values", "token_ids", "num_prompt_tokens", "num_tokens")
        inputs = [
            {**{name: state[name] for name in names}, **neutral, "max_new_tokens": limit}
            for state, limit in zip(states, limits, strict=True)
        ]
        states = together("decode", inputs)
        texts = [text + state["text"][0].decode() for text, state in zip(texts, states, strict=True)]
    lm = load(bundle, engine="onnx")
    settings = [GenerationConfig(max_new_tokens=int(limit[0])) for limit in limits]
    assert texts == [each.text for each in lm.generate(prompts, settings)]
    assert [state["finish_reason"][0] for state in states] == [b"length"] * 3
