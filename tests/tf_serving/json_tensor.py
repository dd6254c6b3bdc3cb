"""REST's JSON -> PredictRequest, and tensors -> JSON: the rules of tensorflow_serving/util/json_tensor.cc.

Each function names the one of that file which it follows. Messages are shortened; who reads them is a person.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from tests.tf_serving.status import invalid

# AddValueToTensor: type -> field of the TensorProto, and what it holds. An integer counts as a float; a float
# is never an integer, be it 1.0; true is no number.
INT32 = range(-(2**31), 2**31)
RANGES = {
    types_pb2.DT_INT32: ("int_val", INT32),
    types_pb2.DT_INT16: ("int_val", INT32),
    types_pb2.DT_INT8: ("int_val", INT32),
    types_pb2.DT_UINT8: ("int_val", INT32),
    types_pb2.DT_INT64: ("int64_val", range(-(2**63), 2**63)),
    types_pb2.DT_UINT32: ("uint32_val", range(2**32)),
    types_pb2.DT_UINT64: ("uint64_val", range(2**64)),
}
PAIR_OR_BACKSLASH = r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
LONE_SURROGATE = r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"


def parse(body: bytes, infos_of: Callable) -> tuple[PredictRequest, str]:
    """FillPredictRequestFromJson: the request without its model's name, and "row" or "columnar"."""
    document = parse_json(body)
    request = PredictRequest()
    name = document.get("signature_name", "")  # FillSignature
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value.")
    request.model_spec.signature_name = name
    infos = infos_of(name)
    if "instances" in document and "inputs" in document:
        raise invalid("expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise invalid("Expecting 'instances' to be an list/array")
        if not rows:
            raise invalid("No values in 'instances' array")
        fill_from_instances(rows, infos, request.inputs)
        return request, "row"
    if "inputs" in document:
        fill_from_inputs(document["inputs"], infos, request.inputs)
        return request, "columnar"
    raise invalid("Missing 'inputs' or 'instances' key")


def parse_json(body: bytes) -> dict:
    """ParseJson: NaN and Infinity are read, bytes that are no UTF-8 stay as they are, a rest is ignored."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    if re.search(LONE_SURROGATE, re.sub(PAIR_OR_BACKSLASH, "", text)):
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.")
    try:
        document, _ = json.JSONDecoder().raw_decode(text.lstrip())  # kParseStopWhenDoneFlag
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise invalid("Is not object")
    return document


def is_base64(value: object) -> bool:
    """IsValBase64Object: an object of the one key b64, whose value is a string."""
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def is_element_object(value: object) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def fill_from_instances(rows: list, infos: Mapping, inputs: Mapping) -> None:
    """FillTensorMapFromInstancesList: each row gives every input, all rows in one shape, and no other key."""
    if not isinstance(rows[0], dict) and len(infos) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required"
        )
    are_objects = is_element_object(rows[0])
    shapes: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if is_element_object(row) != are_objects:
            raise invalid(
                f"Expecting {'object' if are_objects else 'value/list'} at item {index} of input list"
            )
        items = row if are_objects else {next(iter(sorted(infos))): row}
        for name, value in items.items():
            add_instance(value, name, infos, shapes, inputs)
        if are_objects and set(items) != set(infos):
            raise invalid(
                f"element: {index} of 'instances' list. keys must be equal to: {','.join(sorted(infos))}"
            )
    for name, shape in shapes.items():
        inputs[name].dtype = infos[name].dtype
        set_shape(inputs[name], [len(rows), *shape])


def add_instance(value: object, name: str, infos: Mapping, shapes: dict, inputs: Mapping) -> None:
    """AddInstanceItem."""
    if name not in infos:
        raise invalid(f"JSON object: does not have named input: {name}")
    shape = dense_shape(value)
    fill(value, 0, shape, infos[name].dtype, inputs[name])
    if shapes.setdefault(name, shape) != shape:
        raise invalid(f"Expecting shape {shapes[name]} but got: {shape}")


def fill_from_inputs(value: object, infos: Mapping, inputs: Mapping) -> None:
    """FillTensorMapFromInputsMap: every input of the signature has to be there; other keys are ignored."""
    if not is_element_object(value):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required"
            )
        value = {next(iter(infos)): value}
    for name, info in infos.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        shape = dense_shape(value[name])
        inputs[name].dtype = info.dtype
        set_shape(inputs[name], shape)
        fill(value[name], 0, shape, info.dtype, inputs[name])


def dense_shape(value: object) -> list[int]:
    """GetDenseTensorShape: of each list's first element."""
    if not isinstance(value, list):
        return []
    return [len(value), *(dense_shape(value[0]) if value else [])]


def set_shape(tensor: object, shape: list[int]) -> None:
    del tensor.tensor_shape.dim[:]
    tensor.tensor_shape.SetInParent()
    for size in shape:
        tensor.tensor_shape.dim.add().size = size


def fill(value: object, level: int, shape: list[int], dtype: int, tensor: object) -> None:
    """FillTensorProto: values only at the innermost level, every list as long as the first of its level."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {len(shape)}"
            )
        add_value(value, dtype, tensor)
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(f"Encountered list at unexpected size: {len(value)} at level: {level}")
    for each in value:
        fill(each, level + 1, shape, dtype, tensor)


def add_value(value: object, dtype: int, tensor: object) -> None:
    """AddValueToTensor, and JsonDecodeBase64Object for a string."""
    error = invalid(
        f"JSON Value: {str(value)[:256]} is not of expected type: {types_pb2.DataType.Name(dtype)}"
    )
    is_bool, is_int = isinstance(value, bool), isinstance(value, int) and not isinstance(value, bool)
    if dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE) and (is_int or isinstance(value, float)):
        (tensor.float_val if dtype == types_pb2.DT_FLOAT else tensor.double_val).append(float(value))
    elif dtype in RANGES and is_int and value in RANGES[dtype][1]:
        getattr(tensor, RANGES[dtype][0]).append(value)
    elif dtype == types_pb2.DT_BOOL and is_bool:
        tensor.bool_val.append(value)
    elif dtype == types_pb2.DT_STRING and isinstance(value, str):
        tensor.string_val.append(value.encode("utf-8", "surrogateescape"))
    elif dtype == types_pb2.DT_STRING and isinstance(value, dict):
        if not is_base64(value):
            raise invalid("not formatted correctly for base64 data")
        try:
            tensor.string_val.append(base64.b64decode(value["b64"], validate=True))
        except binascii.Error as reason:
            raise invalid("Unable to base64 decode") from reason
    else:
        raise error


def make(outputs: Mapping, form: str) -> bytes:
    """MakeJsonFromTensors: a single output stands without its name."""
    arrays = {name: tf.make_ndarray(tensor) for name, tensor in outputs.items()}
    if form == "columnar":  # MakeColumnarFormatJsonFromTensors
        written = {name: values(array, name.endswith("_bytes")) for name, array in arrays.items()}
        content = json_object(written) if len(arrays) > 1 else next(iter(written.values()))
        return f'{{"outputs": {content}}}'.encode("utf-8", "surrogateescape")
    # MakeRowFormatJsonFromTensors
    for name, array in arrays.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information")
    if len({len(array) for array in arrays.values()}) > 1:
        raise invalid(f"inconsistent batch size: { {name: len(array) for name, array in arrays.items()} }")
    rows = [
        {name: values(array[row], name.endswith("_bytes")) for name, array in arrays.items()}
        for row in range(len(next(iter(arrays.values()))))
    ]
    written_rows = [json_object(row) if len(arrays) > 1 else next(iter(row.values())) for row in rows]
    return f'{{"predictions": [{", ".join(written_rows)}]}}'.encode("utf-8", "surrogateescape")


def json_object(items: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in items.items()) + "}"


def values(array: object, as_base64: bool) -> str:
    """AddTensorValues."""
    if isinstance(array, np.ndarray) and array.ndim:
        return "[" + ", ".join(values(each, as_base64) for each in array) + "]"
    return value(
        array.item() if isinstance(array, np.ndarray) and array.dtype == object else array, as_base64
    )


def value(item: object, as_base64: bool) -> str:
    """AddSingleValueAndAdvance: a text goes out byte for byte, base64 only where the name ends in _bytes."""
    if isinstance(item, bytes):
        if as_base64:
            return json.dumps({"b64": base64.b64encode(item).decode()})
        return json.dumps(item.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    if isinstance(item, np.floating):
        return decimal(item)
    return json.dumps(item.item())


def decimal(number: np.floating) -> str:
    """WriteDecimal: six digits where they are enough to read the number back, else as many as it has."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "-Infinity" if number < 0 else "Infinity"
    text = f"{number:.6g}"
    if type(number)(text) != number:
        text = f"{number:.{9 if number.dtype == np.float32 else 17}g}"
    return text if "." in text or "e" in text else f"{text}.0"
