"""The weights of a graph: stored as they are, or rounded and made float32 again when the file is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float32]]

PRECISIONS = ("fp32", "bf16", "int8")
"""In which the matrices and tables may be stored; vectors are always float32."""


class GraphWeights(tf.Module):
    """Named arrays as tensors of a graph, ``weights[name]`` float32.

    What is rounded takes the less room on disk. As TensorFlow's kernels for float32 are its fastest for a few
    rows, loading makes float32 of it once, and the graph computes like any other.

    Args:
        arrays: float32, by name.
        precision: of `PRECISIONS`.
    """

    def __init__(self, arrays: Arrays, precision: str = "fp32") -> None:
        super().__init__(name="weights")
        self._shapes = {name: array.shape for name, array in arrays.items()}
        self._stored: dict[str, Any] = {}
        self._ready: dict[str, Any] = {}
        for name, array in arrays.items():
            if precision == "fp32" or array.ndim < 2:
                self._ready[name] = _variable(array)
            else:
                self._stored[name] = tuple(map(_variable, _stored(name, array, precision)))
                # Of no shape in the file, where it holds nothing.
                self._ready[name] = tf.Variable(tf.zeros([0]), shape=tf.TensorShape(None), trainable=False)
        self._loading = _OnLoad(self._make_ready) if self._stored else None

    def __getitem__(self, name: str) -> Any:
        """The weight, float32."""
        # Its value and not the variable, of which a gather would make a copy at each later read.
        return tf.ensure_shape(self._ready[name].value(), self._shapes[name])

    def __contains__(self, name: object) -> bool:
        """Whether there is a weight of this name."""
        return name in self._shapes

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._shapes)

    def _make_ready(self) -> None:
        for name, stored in self._stored.items():
            numbers, *scale = (part.value() for part in stored)
            self._ready[name].assign(tf.cast(numbers, tf.float32) * (scale[0] if scale else 1.0))


class _OnLoad(tf.saved_model.experimental.TrackableResource):
    """Runs a function after the variables of a SavedModel are restored, wherever it is loaded."""

    def __init__(self, function: Any) -> None:
        self._function = function
        super().__init__()

    def _create_resource(self) -> Any:
        return tf.zeros([], tf.int32)  # there is none: only the initializer counts

    def _initialize(self) -> None:
        self._function()


def rounded(name: str, array: NDArray[np.float32], precision: str) -> NDArray[np.float32]:
    """The numbers that a weight has after it was stored and loaded.

    >>> rounded("h.0.attn", np.array([[1.27, -2.54], [0.504, 0.03]], np.float32), "int8").round(2)
    array([[ 1.27, -2.54],
           [ 0.5 ,  0.04]], dtype=float32)
    """
    if precision == "fp32" or array.ndim < 2:
        return array
    numbers, *scale = _stored(name, array, precision)
    return np.asarray(numbers, np.float32) * (scale[0] if scale else np.float32(1))


def _stored(name: str, array: NDArray[np.float32], precision: str) -> tuple[NDArray[Any], ...]:
    """A matrix in bfloat16; or in int8 with a step for each column, of the tables for each row.

    The matrices of the layers multiply from the left, (in, out); of a table one row is read as a whole.
    """
    if precision == "bf16":
        return (array.astype(tf.bfloat16.as_numpy_dtype),)
    largest = np.abs(array).max(axis=0 if ".h." in name or name.startswith("h.") else 1, keepdims=True)
    step = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(127)
    return np.rint(array / step).astype(np.int8), step.astype(np.float32)


def _variable(array: NDArray[Any]) -> Any:
    return tf.Variable(array, trainable=False)
