"""An ONNX model on disk: one file, or one with its weights beside it when they pass protobuf's limit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from kerasgpt.atomic import atomic_file

LARGEST_FILE: Final = 2**31 - 2**24  # protobuf stops at 2 GiB; the nodes need a little of it
ALIGNMENT: Final = 4096  # so that a runtime can map a tensor's pages


def save(
    model: onnx.ModelProto,
    weights: Mapping[str, NDArray[Any]],
    path: str | os.PathLike[str],
    *,
    largest_file: int = LARGEST_FILE,
) -> None:
    """Add weights to a model as its initializers, and write both.

    Args:
        model: nodes, inputs, outputs and small constants; gains the weights.
        weights: name -> array.
        path: of the file; missing folders are made.
        largest_file: bytes of weights above which they go to ``<path>_data`` beside it.

    Raises:
        KerasGPTError: the disk is full or the folder cannot be written; `path` is as it was before.
    """
    target = Path(path)
    data_path = target.with_name(target.name + "_data")
    external = sum(array.nbytes for array in weights.values()) > largest_file
    if external:
        with atomic_file(data_path) as temporary, temporary.open("wb") as file:
            for name, array in weights.items():
                _append(file, data_path.name, _add_initializer(model, name, array), array)
    else:
        for name, array in weights.items():
            _add_initializer(model, name, array).raw_data = array.tobytes()
    with atomic_file(target) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
    if not external:
        data_path.unlink(missing_ok=True)  # of a larger model that lay here before


def tensor(name: str, array: NDArray[Any]) -> onnx.TensorProto:
    """An array inside the file."""
    proto: onnx.TensorProto = helper.make_tensor(
        name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, array.tobytes(), raw=True
    )
    return proto


def _add_initializer(model: onnx.ModelProto, name: str, array: NDArray[Any]) -> onnx.TensorProto:
    """Add a tensor without its content; filled in where it lies, it is not held in memory twice."""
    data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    return model.graph.initializer.add(name=name, data_type=data_type, dims=array.shape)


def _append(file: BinaryIO, location: str, proto: onnx.TensorProto, array: NDArray[Any]) -> None:
    """Append an array to the data file, and describe where it lies."""
    file.seek(-file.tell() % ALIGNMENT, os.SEEK_CUR)
    proto.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", file.tell()), ("length", array.nbytes)):
        proto.external_data.add(key=key, value=str(value))
    array.tofile(file)
