"""A bundle in TensorFlow Serving: its own examples, callers in one batch; and in saved_model_cli."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from kerasgpt.artifacts import SAVED_MODEL, SERVING_FOLDER
from kerasgpt.export.signatures import Signature, read_signatures
from tests.tf_serving.batching import Options, predict_together
from tests.tf_serving.model import Model
from tests.tf_serving.rest import answer
from tests.tf_serving.status import Refused

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def served(bundle: Path) -> Model:
    return Model(bundle / SAVED_MODEL, "bundle")


@pytest.fixture(scope="module")
def signatures(bundle: Path) -> dict[str, Signature]:
    return read_signatures(bundle / SAVED_MODEL)


@pytest.fixture(scope="module")
def loaded(bundle: Path) -> Any:
    return tf.saved_model.load(str(bundle / SAVED_MODEL))


def grpc_example(bundle: Path, signature: str) -> PredictRequest:
    text = (bundle / SERVING_FOLDER / "grpc" / f"{signature}.pbtxt").read_text()
    return text_format.Parse(text, PredictRequest())


def arrays_of(tensors: Any) -> Arrays:
    return {name: tf.make_ndarray(tensor) for name, tensor in tensors.items()}


def direct(loaded: Any, request: PredictRequest) -> Arrays:
    """What the graph answers in this process."""
    inputs = {name: tf.constant(array) for name, array in arrays_of(request.inputs).items()}
    outputs = loaded.signatures[request.model_spec.signature_name](**inputs)
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def assert_equal(answered: Arrays, expected: Arrays) -> None:
    assert set(answered) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(answered[name], array, err_msg=name)


def examples(bundle: Path) -> Iterator[str]:
    return (path.stem for path in sorted((bundle / SERVING_FOLDER / "grpc").iterdir()))


def test_every_signature_has_its_examples(bundle: Path, signatures: dict[str, Signature]) -> None:
    """All but those that take a KV cache, which nobody writes by hand: the streaming client does that."""
    shown = {name for name, signature in signatures.items() if "keys" not in signature.inputs}
    assert set(examples(bundle)) == shown
    forms = {path.name for path in (bundle / SERVING_FOLDER / "rest").iterdir()}
    assert forms == {f"{name}.{form}.json" for name in shown for form in ("rows", "columns")}


def test_grpc_examples_are_answered_as_here(bundle: Path, served: Model, loaded: Any) -> None:
    for name in examples(bundle):
        request = grpc_example(bundle, name)
        assert request.model_spec.name == "bundle"
        assert_equal(arrays_of(served.predict(request).outputs), direct(loaded, request))


def from_json(value: Any, like: np.ndarray) -> np.ndarray:
    """A value of JSON as an array of another one's type."""
    array = np.array(value, object)
    encoded = [each.encode() for each in array.flat] if like.dtype == object else array.ravel().tolist()
    return np.array(encoded, like.dtype).reshape(array.shape)


def test_rest_examples_are_answered_as_here(bundle: Path, served: Model, loaded: Any) -> None:
    for name in examples(bundle):
        expected = direct(loaded, grpc_example(bundle, name))
        for form, key in (("rows", "predictions"), ("columns", "outputs")):
            body = (bundle / SERVING_FOLDER / "rest" / f"{name}.{form}.json").read_bytes()
            content = json.loads(answer(served, "POST", "/v1/models/bundle:predict", body))[key]
            if len(expected) == 1:
                content = {next(iter(expected)): content}
            elif form == "rows":
                content = {output: [row[output] for row in content] for output in expected}
            assert_equal({k: from_json(v, expected[k]) for k, v in content.items()}, expected)


CALLERS = [
    {"prompts": [b"ROMEO:"], "max_new_tokens": [9]},
    {"prompts": [b"What light through yonder", b""], "max_new_tokens": [3, 12], "temperature": [0.9, 0.0]},
    {"prompts": ["naïve 北京 🙂".encode()], "max_new_tokens": [1], "temperature": [1.5], "seed": [7]},
    {"prompts": [b"x" * 300], "max_new_tokens": [20], "top_k": [5], "temperature": [0.7], "stop": [b"e"]},
    {"prompts": [b"The"], "max_new_tokens": [0], "repetition_penalty": [1.3]},
]
OFF = {
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "seed": 3,
    "stop": b"",
}


@pytest.fixture(scope="module")
def callers(signatures: dict[str, Signature]) -> list[PredictRequest]:
    """Requests of 1 and 2 rows, as different as may be."""
    made = []
    for given in CALLERS:
        request = PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "bundle", "generate"
        for name, spec in signatures["generate"].inputs.items():
            values = given.get(name, [OFF.get(name)] * len(given["prompts"]))
            request.inputs[name].CopyFrom(tf.make_tensor_proto(spec.array(values)))
        made.append(request)
    return made


def written(outputs: Arrays) -> list[dict[str, Any]]:
    """Every row's own outputs: what is as wide as the longest row of a batch, cut to what the row wrote."""
    rows = []
    for row, count in enumerate(outputs["num_tokens"]):
        own = {name: array[row] for name, array in outputs.items()}
        rows.append({name: value[:count] if np.ndim(value) else value for name, value in own.items()})
    return rows


def of_answers(answers: list[Any]) -> list[dict[str, Any]]:
    assert not any(isinstance(each, Refused) for each in answers), answers
    return [row for each in answers for row in written(arrays_of(each.outputs))]


@pytest.mark.parametrize("allowed", [(), (8,), (1, 4, 16)], ids=str)
def test_callers_in_one_batch_get_what_each_gets_alone(
    served: Model, callers: list[PredictRequest], allowed: tuple[int, ...]
) -> None:
    alone = of_answers([served.predict(request) for request in callers])
    options = Options(max_batch_size=32, pad_variable_length_inputs=True, allowed_batch_sizes=allowed)
    for order in (callers, callers[::-1]):
        together = of_answers(predict_together(served, order, options))
        expected = alone if order is callers else of_answers([served.predict(each) for each in order])
        for row, own in zip(together, expected, strict=True):
            for name, value in own.items():
                if np.asarray(value).dtype == np.float32:  # another width, another order of sums
                    np.testing.assert_allclose(row[name], value, atol=2e-4)
                else:
                    np.testing.assert_array_equal(row[name], value, err_msg=name)


def test_padding_of_ids_changes_nothing(served: Model, signatures: dict[str, Signature]) -> None:
    """A request's ids are padded with its first id to its neighbour's width; lengths say what counts."""

    def request(ids: list[int]) -> PredictRequest:
        made = PredictRequest()
        made.model_spec.name, made.model_spec.signature_name = "bundle", "generate_tokens"
        given = {"input_ids": [ids], "lengths": [len(ids)], "max_new_tokens": [8]}
        for name, spec in signatures["generate_tokens"].inputs.items():
            made.inputs[name].CopyFrom(tf.make_tensor_proto(spec.array(given.get(name, [OFF.get(name)]))))
        return made

    asked = [request([5, 9, 40]), request([17]), request(list(range(60)))]
    alone = of_answers([served.predict(each) for each in asked])
    together = of_answers(predict_together(served, asked, Options(pad_variable_length_inputs=True)))
    assert [row["text"] for row in together] == [row["text"] for row in alone]
    assert [row["token_ids"].tolist() for row in together] == [row["token_ids"].tolist() for row in alone]


def test_the_model_config_is_one(bundle: Path) -> None:
    text = (bundle / SERVING_FOLDER / "models.config").read_text()
    (config,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == (
        "bundle",
        "/models/bundle",
        "tensorflow",
    )


def batching_parameters() -> Any:
    """BatchingParameters of session_bundle_config.proto, which tensorflow-serving-api leaves out."""
    file = descriptor_pb2.FileDescriptorProto(name="b.proto", package="b", syntax="proto3")
    boxed = file.message_type.add(name="Int64Value")
    boxed.field.add(name="value", number=1, type=3, label=1)
    message = file.message_type.add(name="BatchingParameters")
    numbers = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate(numbers, 1):
        message.field.add(name=name, number=number, type=11, type_name=".b.Int64Value", label=1)
    message.field.add(name="allowed_batch_sizes", number=6, type=3, label=3)
    message.field.add(name="pad_variable_length_inputs", number=7, type=8, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("b.BatchingParameters"))()


def test_the_batching_config_is_one(bundle: Path) -> None:
    text = (bundle / SERVING_FOLDER / "batching.config").read_text()
    config = text_format.Parse(text, batching_parameters())
    assert config.max_batch_size.value == 32
    assert config.batch_timeout_micros.value > 0
    assert config.num_batch_threads.value >= 1
    assert config.max_enqueued_batches.value >= config.num_batch_threads.value
    assert config.pad_variable_length_inputs
    # model_servers: the last allowed size has to be the largest batch, or there are none.
    assert list(config.allowed_batch_sizes) in ([], [config.max_batch_size.value])


FLAGS = {"model_config_file", "enable_batching", "batching_parameters_file", "rest_api_timeout_in_ms"}
"""Of model_servers/main.cc."""


def test_the_compose_file_mounts_what_it_names(bundle: Path) -> None:
    folder = bundle / SERVING_FOLDER
    text = (folder / "compose.yaml").read_text()
    mounts = dict(re.findall(r"- (\.\S*?):(/\S+?):ro", text))
    assert all((folder / source).exists() for source in mounts)
    flags = dict(re.findall(r"- --(\w+)=(\S+)", text))
    assert set(flags) == FLAGS
    assert {flags["model_config_file"], flags["batching_parameters_file"]} <= set(mounts.values())
    config = text_format.Parse((folder / "models.config").read_text(), ModelServerConfig())
    assert mounts["../saved_model"] == config.model_config_list.config[0].base_path


def test_the_page_tells_the_signatures_and_its_python_runs(
    bundle: Path,
    signatures: dict[str, Signature],
    served: Model,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    page = (bundle / SERVING_FOLDER / "README.md").read_text()
    assert all(f"| `{name}` |" in page for name in signatures)
    assert "$" not in page.replace("$PWD", "")
    for path in re.findall(r"@(rest/\S+)", page):
        assert (bundle / SERVING_FOLDER / path).is_file()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)

    class Stub:
        def __init__(self, channel: Any) -> None: ...

        def Predict(self, request: PredictRequest, timeout: float) -> Any:  # noqa: N802
            return served.predict(request)

    monkeypatch.setattr("tensorflow_serving.apis.prediction_service_pb2_grpc.PredictionServiceStub", Stub)
    monkeypatch.chdir(bundle / SERVING_FOLDER)
    exec(compile(code, "README.md", "exec"), {})
    texts = served.predict(grpc_example(bundle, "generate")).outputs["text"].string_val
    assert capsys.readouterr().out == f"{[text.decode() for text in texts]}\n"


def saved_model_cli(*words: Any) -> str:
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *words]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs(bundle: Path, signatures: dict[str, Signature], loaded: Any) -> None:
    folder = ["--dir", bundle / SAVED_MODEL, "--tag_set", "serve"]
    shown = saved_model_cli("show", *folder)
    assert set(re.findall(r'SignatureDef key: "(\w+)"', shown)) - {"__saved_model_init_op"} == set(signatures)
    texts = 'prompts=["Once upon a time", "The"]'
    printed = saved_model_cli("run", *folder, "--signature_def", "serving_default", "--input_exprs", texts)
    expected = loaded.signatures["serving_default"](prompts=tf.constant(["Once upon a time", "The"]))["text"]
    assert f"Result for output key text:\n{expected.numpy()}" in printed
