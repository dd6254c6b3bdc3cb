"""The double of TensorFlow Serving keeps the server's rules: cases of its own tests, and one for each rule.

What is expected here stands in tensorflow_serving/util/json_tensor_test.cc, servables/tensorflow/
predict_util_test.cc and batching/batching_session_test.cc of github.com/tensorflow/serving.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from tests.tf_serving import json_tensor
from tests.tf_serving.batching import Options, add_padding, predict_together, rounded_up
from tests.tf_serving.fake_model import write_fake
from tests.tf_serving.model import Model
from tests.tf_serving.rest import answer
from tests.tf_serving.status import Refused

TYPES = {"int": "INT32", "long": "INT64", "str": "STRING", "float": "FLOAT", "bool": "BOOL"}


def parsed(body: str, *inputs: str) -> tuple[dict[str, Any], str]:
    """A request to a signature of those inputs, named by their type, as arrays."""
    infos = {name: TensorInfo(dtype=f"DT_{TYPES[name]}") for name in inputs}
    request, form = json_tensor.parse(body.encode(), lambda _: infos)
    return {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}, form


GOOD = [
    ('{"instances": [[1,2],[3,4],[5,6]]}', ["int"], {"int": [[1, 2], [3, 4], [5, 6]]}),
    ('{"instances": [1, 2.0, 5.003, NaN]}', ["float"], {"float": np.float32([1, 2, 5.003, np.nan])}),
    ('{"instances": [1e300, -1e300, 1e-300]}', ["float"], {"float": [np.inf, -np.inf, 0]}),
    ('{"instances": [1]} and the rest is ignored', ["int"], {"int": [1]}),
    ('{"instances": [{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}]}', ["str"], {"str": [b"hello", b"world"]}),
    ('{"instances": [[{"b64": "aGVsbG8="}], ["x"]]}', ["str"], {"str": [[b"hello"], [b"x"]]}),
    ('{"instances": [{"str": {"b64": "aGVsbG8="}}]}', ["str"], {"str": [b"hello"]}),
    (
        '{"instances": [{"int": [1,2], "str": "a"}, {"int": [3,4], "str": "\\ud83d\\ude42"}]}',
        ["int", "str"],
        {"int": [[1, 2], [3, 4]], "str": [b"a", "🙂".encode()]},
    ),
    ('{"inputs": [[[1,2],[3,4]]]}', ["int"], {"int": [[[1, 2], [3, 4]]]}),
    (
        '{"inputs": {"int": [[1,2]], "str": ["a", "b", "c"]}}',
        ["int", "str"],
        {"int": [[1, 2]], "str": [b"a", b"b", b"c"]},
    ),
    ('{"inputs": {"int": [1], "unknown": 2}}', ["int"], {"int": [1]}),
    ('{"inputs": 7}', ["int"], {"int": 7}),
    ('{"inputs": {"b64": "aGVsbG8="}}', ["str"], {"str": b"hello"}),
]


@pytest.mark.parametrize(("body", "inputs", "expected"), GOOD, ids=[body for body, _, _ in GOOD])
def test_json_is_read_as_the_server_reads_it(body: str, inputs: list[str], expected: dict[str, Any]) -> None:
    arrays, form = parsed(body, *inputs)
    assert form == ("row" if "instances" in body else "columnar")
    assert set(arrays) == set(expected)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name])


def test_bytes_that_are_no_text_pass_through() -> None:
    request, _ = json_tensor.parse(b'{"instances": ["\xff\x00"]}'.replace(b"\x00", b""), lambda _: INFO)
    assert list(request.inputs["str"].string_val) == [b"\xff"]


INFO = {"str": TensorInfo(dtype=types_pb2.DT_STRING)}

BAD = [
    ("", ["int"], "The document is empty"),
    ("{", ["int"], "JSON Parse error"),
    ('{"instances": ["\\ud83d"]}', ["str"], "surrogate"),
    ("[1]", ["int"], "Is not object"),
    ("{}", ["int"], "Missing 'inputs' or 'instances' key"),
    ('{"signature_name": 5, "instances": [1]}', ["int"], "key must be a string value"),
    ('{"instances": [1], "inputs": [1]}', ["int"], "expecting only one of"),
    ('{"instances": 1}', ["int"], "to be an list/array"),
    ('{"instances": []}', ["int"], "No values in"),
    ('{"instances": [1.0]}', ["int"], "is not of expected type: DT_INT32"),
    ('{"instances": [1.0]}', ["long"], "is not of expected type: DT_INT64"),
    ('{"instances": [2147483648]}', ["int"], "is not of expected type"),
    ('{"instances": [9223372036854775808]}', ["long"], "is not of expected type"),
    ('{"instances": [true]}', ["int"], "is not of expected type"),
    ('{"instances": [1]}', ["bool"], "is not of expected type"),
    ('{"instances": [1]}', ["str"], "is not of expected type: DT_STRING"),
    ('{"instances": ["1"]}', ["float"], "is not of expected type: DT_FLOAT"),
    ('{"instances": [null]}', ["str"], "is not of expected type"),
    ('{"instances": [{"b64": "!"}]}', ["str"], "Unable to base64 decode"),
    ('{"instances": [{"b64": "aGVsbG8=", "x": 1}]}', ["str"], "does not have named input"),
    ('{"instances": [[{"b65": "x"}]]}', ["str"], "not formatted correctly for base64 data"),
    ('{"instances": [[1,2],[3]]}', ["int"], "Expecting"),
    ('{"instances": [[[1],[2,3]]]}', ["int"], "unexpected size"),
    ('{"instances": [[[1],2]]}', ["int"], "incorrect level"),
    ('{"instances": [[1,[2]]]}', ["int"], "unexpected level"),
    ('{"instances": [1, 2]}', ["int", "str"], "expecting list of objects"),
    ('{"instances": [{"int": 1}]}', ["int", "str"], "keys must be equal to: int,str"),
    ('{"instances": [{"int": 1, "str": "a", "x": 1}]}', ["int", "str"], "does not have named input: x"),
    ('{"instances": [{"int": 1}, 2]}', ["int"], "Expecting object"),
    ('{"instances": [2, {"int": 1}]}', ["int"], "Expecting value/list"),
    ('{"inputs": {"int": [1]}}', ["int", "str"], "Missing named input: str"),
    ('{"inputs": [1]}', ["int", "str"], "expecting an object as multiple input tensors required"),
]


@pytest.mark.parametrize(("body", "inputs", "words"), BAD, ids=[f"{body} {names}" for body, names, _ in BAD])
def test_json_is_refused_as_the_server_refuses_it(body: str, inputs: list[str], words: str) -> None:
    with pytest.raises(Refused, match="^INVALID_ARGUMENT") as refusal:
        parsed(body, *inputs)
    assert words in refusal.value.message


FLOATS = np.float32([9000000, 999999, 0.5, 0.0003, 0.00003, 555557.5, np.nan, np.inf, 3, -np.inf])


def test_numbers_are_written_as_the_server_writes_them() -> None:
    written = json_tensor.make({"x": tf.make_tensor_proto(FLOATS)}, "row").decode()
    expected = "9e+06, 999999.0, 0.5, 0.0003, 3e-05, 555557.5, NaN, Infinity, 3.0, -Infinity"
    assert written == f'{{"predictions": [{expected}]}}'
    random = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    read = json.loads(json_tensor.make({"x": tf.make_tensor_proto(random)}, "columnar"))["outputs"]
    np.testing.assert_array_equal(np.float32(read), random)


def test_outputs_have_their_names_where_there_are_several() -> None:
    outputs = {"a": tf.make_tensor_proto([[1, 2], [3, 4]]), "b": tf.make_tensor_proto([b"x", b"y"])}
    rows, columns = (json.loads(json_tensor.make(outputs, form)) for form in ("row", "columnar"))
    assert rows == {"predictions": [{"a": [1, 2], "b": "x"}, {"a": [3, 4], "b": "y"}]}
    assert columns == {"outputs": {"a": [[1, 2], [3, 4]], "b": ["x", "y"]}}
    images = json.loads(json_tensor.make({"image_bytes": tf.make_tensor_proto([b"hello"])}, "row"))
    assert images == {"predictions": [{"b64": "aGVsbG8="}]}
    with pytest.raises(Refused, match="inconsistent batch size"):
        json_tensor.make({"a": tf.make_tensor_proto([1]), "b": tf.make_tensor_proto([1, 2])}, "row")
    with pytest.raises(Refused, match="no shape information"):
        json_tensor.make({"a": tf.make_tensor_proto(1)}, "row")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(write_fake(tmp_path_factory.mktemp("fake") / "1"), "fake")


def request(signature: str, model_name: str = "fake", **inputs: Any) -> PredictRequest:
    made = PredictRequest()
    made.model_spec.name, made.model_spec.signature_name = model_name, signature
    for name, values in inputs.items():
        dtype = tf.string if name == "prompts" and values != [1] else None
        made.inputs[name].CopyFrom(tf.make_tensor_proto(values if dtype else np.array(values), dtype))
    return made


def texts(response: Any) -> list[bytes]:
    assert not isinstance(response, Refused), response
    return list(response.outputs["text"].string_val)


def test_a_request_without_a_signature_is_for_the_default_one(model: Model) -> None:
    assert texts(model.predict(request("", prompts=[b"a"]))) == [b"A"]
    assert json.loads(answer(model, "POST", "/v1/models/fake:predict", b'{"instances": ["a"]}')) == {
        "predictions": ["A"]
    }


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (request("none", prompts=[b"a"]), "FAILED_PRECONDITION", 'signature key "none" not found'),
        (request("", "other", prompts=[b"a"]), "NOT_FOUND", "Servable not found"),
        (PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (request("total", input_ids=[[1]]), "INVALID_ARGUMENT", "Missing but required: ['lengths']"),
        (request("", prompts=[b"a"], x=[1]), "INVALID_ARGUMENT", "Sent extra: ['x']"),
        (request("", x=[b"a"]), "INVALID_ARGUMENT", "not found in request and no default"),
        (request("", prompts=[1]), "INVALID_ARGUMENT", "string"),
        (request("total", input_ids=[[1]], lengths=np.int32([1])), "INVALID_ARGUMENT", "int64"),
    ],
)
def test_requests_are_refused(model: Model, asked: PredictRequest, code: str, words: str) -> None:
    with pytest.raises(Refused) as refusal:
        model.predict(asked)
    assert refusal.value.code == code
    assert words in refusal.value.message


def test_the_output_filter_chooses(model: Model) -> None:
    asked = request("total", input_ids=[[1, 2]], lengths=[1])
    asked.output_filter.append("total")
    assert list(model.predict(asked).outputs) == ["total"]
    asked.output_filter.append("total")
    with pytest.raises(Refused, match="duplicate output tensor alias"):
        model.predict(asked)
    asked.output_filter[:] = ["none"]
    with pytest.raises(Refused, match="output tensor alias not found in signature: none"):
        model.predict(asked)


def test_defaults_stand_in_over_grpc_and_never_over_rest(model: Model) -> None:
    """SignatureDef.defaults: gRPC fills in what is left out; REST's parser wants every input."""
    assert texts(model.predict(request("with_defaults", prompts=[b"a", b"b"]))) == [
        b"a|5|0.500000",
        b"b|5|0.500000",
    ]
    given = request("with_defaults", prompts=[b"a"], max_new_tokens=np.int64([7]))
    assert texts(model.predict(given)) == [b"a|7|0.500000"]
    for content in ({"instances": [{"prompts": "a"}]}, {"inputs": {"prompts": ["a"]}}, {"inputs": ["a"]}):
        body = json.dumps({"signature_name": "with_defaults", **content}).encode()
        with pytest.raises(Refused, match="keys must be equal|Missing named input|expecting an object"):
            answer(model, "POST", "/v1/models/fake:predict", body)
    with pytest.raises(Refused, match="Inputs contains invalid name"):
        model.predict(request("with_defaults", prompts=[b"a"], x=[1]))


def test_defaults_of_one_row_batch_only_with_one_row(model: Model) -> None:
    asked = [request("with_defaults", prompts=[b"a"]), request("with_defaults", prompts=[b"b", b"c"])]
    one, two = predict_together(model, asked, Options())
    assert texts(one) == [b"a|5|0.500000"]
    assert "must have equal 0th-dimension size" in two.message


def test_a_batch_is_padded_with_the_first_element_and_split_again(model: Model) -> None:
    asked = [
        request("total", input_ids=np.int64([[1, 2, 3], [4, 5, 6]]), lengths=[3, 2]),
        request("total", input_ids=np.int64([[7]]), lengths=[1]),
    ]
    options = Options(pad_variable_length_inputs=True, allowed_batch_sizes=(2, 4, 8))
    first, second = predict_together(model, asked, options)
    assert tf.make_ndarray(first.outputs["total"]).tolist() == [6, 9]
    assert tf.make_ndarray(second.outputs["total"]).tolist() == [7]
    assert tf.make_ndarray(second.outputs["width"]).tolist() == [3]  # it was not alone
    for refusal in predict_together(model, asked, Options()):
        assert refusal.code == "FAILED_PRECONDITION"
        assert "padding is turned off" in refusal.message


def test_signatures_are_batches_of_their_own(model: Model) -> None:
    asked = [request("total", input_ids=[[7]], lengths=[1]), request("", prompts=[b"a"])]
    total, upper = predict_together(model, asked, Options())
    assert tf.make_ndarray(total.outputs["total"]).tolist() == [7]
    assert texts(upper) == [b"A"]


def test_a_task_that_is_too_large_is_refused_alone(model: Model) -> None:
    large, good = predict_together(
        model, [request("", prompts=[b"a"] * 5), request("", prompts=[b"a"])], Options(max_batch_size=4)
    )
    assert large.message == "Task size 5 is larger than maximum input batch size 4"
    assert texts(good) == [b"A"]


def test_padding_repeats_the_first_element() -> None:
    padded = add_padding(np.arange(6).reshape(1, 2, 3) + 5, np.array([9, 3, 4]))
    assert padded.tolist() == [[[5, 6, 7, 5], [8, 9, 10, 5], [5, 5, 5, 5]]]
    with pytest.raises(Refused, match="Got empty tensor in batch of non-empty tensors"):
        add_padding(np.zeros((1, 0)), np.array([2, 3]))
    assert [rounded_up(size, (2, 4, 8)) for size in (1, 2, 3, 8, 9)] == [2, 2, 4, 8, 9]


@pytest.mark.parametrize("path", ["/v1/models/fake:classify", "/v1/models/fake", "/v1/fake:predict"])
def test_other_paths_are_malformed(model: Model, path: str) -> None:
    with pytest.raises(Refused, match=f"Malformed request: POST {path}"):
        answer(model, "POST", path, b"{}")


def test_the_metadata_has_no_defaults(model: Model) -> None:
    listed = json.loads(answer(model, "GET", "/v1/models/fake/metadata", b""))["metadata"]["signature_def"]
    signature = listed["signature_def"]["with_defaults"]
    assert set(signature["inputs"]) == {"prompts", "max_new_tokens", "temperature"}
    assert "defaults" not in signature


def test_defaults_are_written_for_tensors_only(tmp_path: Path) -> None:
    """What `tf.saved_model.save` takes for a default: a tensor, of a tf.function's argument, nothing else."""

    def saved(function: Any) -> Any:
        tf.saved_model.save(tf.Module(), str(tmp_path / "1"), {"f": function})
        return Model(tmp_path / "1", "m").signatures["f"]

    spec = [tf.TensorSpec([None], tf.int64, "x")]

    @tf.function(input_signature=spec)
    def with_tensor(x: Any = tf.constant([5], tf.int64)) -> Any:  # noqa: B008 - the default is what is tested
        return {"y": x}

    @tf.function(input_signature=spec)
    def with_list(x: Any = (5,)) -> Any:
        return {"y": x}

    assert tf.make_ndarray(saved(with_tensor).defaults["x"]).tolist() == [5]
    assert dict(saved(with_list).defaults) == {}
    assert dict(saved(with_tensor.get_concrete_function()).defaults) == {}
