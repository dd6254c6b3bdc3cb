"""PredictRequest: what TensorFlow Serving is asked over gRPC, its messages declared here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2, types_pb2

_PACKAGE: Final = "tensorflow.serving"
_FIELDS: Final = {
    "ModelSpec": {"name": (1, "string"), "signature_name": (3, "string")},
    "InputsEntry": {"key": (1, "string"), "value": (2, ".tensorflow.TensorProto")},
    "PredictRequest": {
        "model_spec": (1, f".{_PACKAGE}.ModelSpec"),
        "inputs": (2, f".{_PACKAGE}.PredictRequest.InputsEntry"),
    },
    "PredictLog": {"request": (1, f".{_PACKAGE}.PredictRequest")},
    "PredictionLog": {"predict_log": (6, f".{_PACKAGE}.PredictLog")},
}
"""Message -> field -> its number and type, as in tensorflow_serving/apis/*.proto: those that we fill in.

They are declared here since tensorflow-serving-api, which has them all, would be a dependency of every export
for five messages that have not changed since 2018.
"""

_VALUES: Final = {"string": "string_val", "int64": "int64_val", "int32": "int_val", "float32": "float_val"}


def predict_request(model: str, signature: str, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    """A PredictRequest.

    Args:
        model: the name that the server knows it by.
        signature: what is asked of it.
        inputs: arrays by name: texts as bytes in an object array, int64, int32 or float32.

    Returns:
        The message; its bytes are those of `tensorflow_serving.apis.predict_pb2.PredictRequest`.
    """
    request = _message("PredictRequest")()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name in sorted(inputs):
        _fill(request.inputs[name], inputs[name])
    return request


def prediction_log(request: Any) -> Any:
    """A PredictionLog of a request, the form in which a server reads what to warm up with."""
    log = _message("PredictionLog")()
    log.predict_log.request.CopyFrom(request)
    return log


def _fill(tensor: Any, array: np.ndarray[Any, Any]) -> None:
    """Write an array into a TensorProto, a value each: a reader can see them, unlike packed bytes."""
    dtype = "string" if array.dtype == object else array.dtype.name
    tensor.dtype = types_pb2.DataType.Value(f"DT_{dtype.upper().replace('FLOAT32', 'FLOAT')}")
    for size in array.shape:
        tensor.tensor_shape.dim.add().size = size
    getattr(tensor, _VALUES[dtype]).extend(array.ravel().tolist())


@cache
def _message(name: str) -> Any:
    """The class of a message, from a pool of our own: the default one may hold the real ones."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@cache
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    _add_with_imports(pool, tensor_pb2.DESCRIPTOR, set())
    file = descriptor_pb2.FileDescriptorProto(
        name="kerasgpt/predict.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[tensor_pb2.DESCRIPTOR.name],
    )
    for name in ("ModelSpec", "PredictRequest", "PredictLog", "PredictionLog"):
        _declare(file.message_type.add(), name)
    request = file.message_type[1]
    entry = request.nested_type.add()
    _declare(entry, "InputsEntry")
    entry.options.map_entry = True
    request.field[1].label = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    pool.Add(file)
    return pool


def _declare(message: Any, name: str) -> None:
    message.name = name
    for field, (number, type_name) in _FIELDS[name].items():
        declared = message.field.add(name=field, number=number, label=1)  # optional
        if type_name == "string":
            declared.type = declared.TYPE_STRING
        else:
            declared.type, declared.type_name = declared.TYPE_MESSAGE, type_name


def _add_with_imports(pool: Any, file: Any, added: set[str]) -> None:
    """Add TensorFlow's own declarations to a pool, each after those that it uses."""
    if file.name in added:
        return
    added.add(file.name)
    for imported in file.dependencies:
        _add_with_imports(pool, imported, added)
    pool.AddSerializedFile(file.serialized_pb)
