"""Signatures: what a SavedModel takes and gives, read from the file itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from kerasgpt.errors import KerasGPTError

DEFAULT = "serving_default"
"""The signature that a server takes where a request names none."""

_INITIALISER = "__saved_model_init_op"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        tensor: its name in the graph, such as ``"serving_default_prompts:0"``.
        dtype: TensorFlow's name of the type, such as ``"string"`` or ``"int64"``.
        shape: None where a size is free; the first is always the batch.
    """

    tensor: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.dtype} ({sizes})"

    def array(self, values: Any) -> np.ndarray[Any, Any]:
        """Turn values into an array of this type."""
        return np.asarray(values, object if self.dtype == "string" else self.dtype)


@dataclass(frozen=True)
class Signature:
    """One thing that can be asked of a SavedModel.

    Attributes:
        name: such as ``"generate"``.
        inputs: name -> what it is.
        outputs: likewise.
        defaults: name of an input -> what a server takes where a gRPC request leaves it out.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    defaults: Mapping[str, np.ndarray[Any, Any]]


def read_signatures(folder: Path) -> dict[str, Signature]:
    """Read the signatures of a SavedModel, ``serving_default`` first, the others in the alphabet's order.

    Args:
        folder: with ``saved_model.pb``.

    Raises:
        KerasGPTError: there is none, or it is damaged.
    """
    graph = _read_graph(folder)
    names = sorted(graph.signature_def, key=lambda name: (name != DEFAULT, name))
    return {
        name: Signature(
            name,
            _specs(graph.signature_def[name].inputs),
            _specs(graph.signature_def[name].outputs),
            {key: tf.make_ndarray(value) for key, value in graph.signature_def[name].defaults.items()},
        )
        for name in names
        if name != _INITIALISER
    }


def is_compiled(folder: Path) -> bool:
    """Whether a SavedModel has functions that XLA must compile.

    Raises:
        KerasGPTError: there is none, or it is damaged.
    """
    functions = _read_graph(folder).graph_def.library.function
    return any(
        function.attr["_XlaMustCompile"].b for function in functions if "_XlaMustCompile" in function.attr
    )


def _read_graph(folder: Path) -> Any:
    content, path = saved_model_pb2.SavedModel(), folder / "saved_model.pb"
    try:
        content.ParseFromString(path.read_bytes())
        (graph,) = (graph for graph in content.meta_graphs if "serve" in graph.meta_info_def.tags)
    except (OSError, DecodeError, ValueError) as error:
        raise KerasGPTError(f"{path}: no SavedModel that can be read ({error}); export it again") from error
    return graph


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    """TensorInfo messages by name, in the alphabet's order."""
    return {
        name: TensorSpec(
            infos[name].name,
            tf.dtypes.as_dtype(infos[name].dtype).name,
            tuple(None if dim.size < 0 else dim.size for dim in infos[name].tensor_shape.dim),
        )
        for name in sorted(infos)
    }
