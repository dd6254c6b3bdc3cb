"""Turn a function of tensors that reads a model's weights into one call of the backend."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import keras


def compiled(
    function: Callable[..., Any], weights: Sequence[keras.Variable], *arguments: Any
) -> Callable[..., Any]:
    """Compile a function that only reads `weights`.

    Dispatching its hundreds of operations one by one costs several times what they cost. On TensorFlow one
    graph serves all shapes that the arguments may have; on JAX each new shape is compiled anew; on PyTorch
    the function stays as it is, without gradients.

    Args:
        function: of arrays and of nests of tensors, to nests of tensors.
        weights: all that it reads; changed weights count at the next call.
        *arguments: a `keras.KerasTensor` or a nest of them for each of its arguments, with None for sizes
            that differ from call to call.
    """
    name = keras.backend.backend()
    backend: Any = importlib.import_module(name)  # the one that Keras has loaded, and no other
    if name == "tensorflow":
        specs = keras.tree.map_structure(
            lambda value: backend.TensorSpec(value.shape, value.dtype), arguments
        )
        of_tensors: Callable[..., Any] = backend.function(function, input_signature=specs, autograph=False)
        return of_tensors
    if name == "jax":

        def of_weights(values: list[Any], *inputs: Any) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(weights, values, strict=True))):
                return function(*inputs)

        jitted = backend.jit(of_weights)
        return lambda *inputs: jitted([weight.value for weight in weights], *inputs)
    without_gradients: Callable[..., Any] = backend.no_grad()(function)
    return without_gradients
