"""An ONNX model on disk: one file, or one with its weights beside it when they pass protobuf's limit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from kerasgpt.atomic import atomic_file

LARGEST_FILE: Final = 2**31 - 2**24  # protobuf stops at 2 GiB; the nodes need a little of it
ALIGNMENT: Final = 4096  # so that a runtime can map a tensor's pages

# Tags of protobuf's fields: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
_GRAPH, _INITIALIZER, _RAW_DATA = (bytes([number << 3 | 2]) for number in (7, 5, 9))


def save(
    model: onnx.ModelProto,
    weights: Mapping[str, NDArray[Any]],
    path: str | os.PathLike[str],
    *,
    largest_file: int = LARGEST_FILE,
) -> None:
    """Write a model with weights as its initializers; they go from where they lie to the disk, uncopied.

    Args:
        model: nodes, inputs, outputs and small constants.
        weights: name -> array.
        path: of the file; missing folders are made.
        largest_file: bytes of weights above which they go to ``<path>_data`` beside it.

    Raises:
        KerasGPTError: the disk is full or the folder cannot be written; `path` is as it was before.
    """
    target = Path(path)
    data_path = target.with_name(target.name + "_data")
    headers = {name: _header(name, array) for name, array in weights.items()}
    external = sum(array.nbytes for array in weights.values()) > largest_file
    if external:
        with atomic_file(data_path) as temporary, temporary.open("wb") as file:
            for name, array in weights.items():
                _append(file, data_path.name, headers[name], array)
    with atomic_file(target) as temporary, temporary.open("wb") as file:
        _write_model(file, model, headers, {} if external else weights)
    if not external:
        data_path.unlink(missing_ok=True)  # of a larger model that lay here before


def tensor(name: str, array: NDArray[Any]) -> onnx.TensorProto:
    """An array inside the file."""
    proto: onnx.TensorProto = helper.make_tensor(
        name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, array.tobytes(), raw=True
    )
    return proto


def _header(name: str, array: NDArray[Any]) -> onnx.TensorProto:
    """A tensor without its content."""
    data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    return TensorProto(name=name, data_type=data_type, dims=array.shape)


def _append(file: BinaryIO, location: str, header: onnx.TensorProto, array: NDArray[Any]) -> None:
    """Append an array to the data file, and describe where it lies."""
    file.seek(-file.tell() % ALIGNMENT, os.SEEK_CUR)
    header.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", file.tell()), ("length", array.nbytes)):
        header.external_data.add(key=key, value=str(value))
    _write_array(file, array)


def _write_model(
    file: BinaryIO,
    model: onnx.ModelProto,
    headers: Mapping[str, onnx.TensorProto],
    contents: Mapping[str, NDArray[Any]],
) -> None:
    """Write what protobuf would write of the whole, which it can only when all of it is in memory twice."""
    shell = onnx.ModelProto()
    shell.CopyFrom(model)
    graph = model.graph.SerializeToString(deterministic=True)
    shell.ClearField("graph")
    starts = {
        name: _start(header.SerializeToString(deterministic=True), contents.get(name))
        for name, header in headers.items()
    }
    length = len(graph) + sum(map(len, starts.values())) + sum(array.nbytes for array in contents.values())
    file.write(shell.SerializeToString(deterministic=True))
    file.write(_GRAPH + _varint(length) + graph)
    for name, start in starts.items():
        file.write(start)
        if name in contents:
            _write_array(file, contents[name])


def _start(header: bytes, content: NDArray[Any] | None) -> bytes:
    """All of an initializer that precedes its content."""
    before = b"" if content is None else _RAW_DATA + _varint(content.nbytes)
    length = len(header) + len(before) + (0 if content is None else content.nbytes)
    return _INITIALIZER + _varint(length) + header + before


def _write_array(file: BinaryIO, array: NDArray[Any]) -> None:
    # Not by tofile: on a full disk that gives two numbers and no reason.
    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _varint(number: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
