"""The name table of recurrent models: what each weight is called in model.safetensors, and in our model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kerasgpt.errors import KerasGPTError
from kerasgpt.recurrent_config import EMBEDDINGS, GATES, HEAD, RecurrentConfig

if TYPE_CHECKING:
    from kerasgpt.models.recurrent import RecurrentCausalLM


def shapes_by_name(config: RecurrentConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each array of a checkpoint, by its name, in reading order.

    The gates' matrices lie side by side, an LSTM's i, f, c, o and a GRU's z, r, h. A GRU has two rows of
    biases: of the product with the input, and of that with the state.

    >>> shapes_by_name(RecurrentConfig("gru", 10, num_layers=1, hidden_dim=2))["layers.0.bias"]
    (2, 6)
    """
    table = (config.vocabulary_size, config.embedding_width)
    width, gates = config.hidden_dim, GATES[config.cell] * config.hidden_dim
    shapes: dict[str, tuple[int, ...]] = {EMBEDDINGS: table}
    for layer in range(config.num_layers):
        shapes[f"layers.{layer}.input.weight"] = (config.input_dim(layer), gates)
        shapes[f"layers.{layer}.state.weight"] = (width, gates)
        shapes[f"layers.{layer}.bias"] = (2, gates) if config.cell == "gru" else (gates,)
    if config.has_projection:
        shapes["projection.weight"] = (width, config.embedding_width)
        shapes["projection.bias"] = (config.embedding_width,)
    if not config.tie_word_embeddings:
        shapes[HEAD] = table
    return shapes


def variables(model: RecurrentCausalLM) -> Iterator[tuple[str, Any]]:
    """Every variable of a recurrent model under its name, in the same order."""
    if not model.built:
        model.build()
    yield EMBEDDINGS, model.token_embedding.embeddings
    for index, layer in enumerate(model.recurrent_layers):
        yield f"layers.{index}.input.weight", layer.cell.kernel
        yield f"layers.{index}.state.weight", layer.cell.recurrent_kernel
        yield f"layers.{index}.bias", layer.cell.bias
    if model.projection is not None:
        yield "projection.weight", model.projection.kernel
        yield "projection.bias", model.projection.bias
    if not model.config.tie_word_embeddings:
        yield HEAD, model.token_embedding.reverse_embeddings


def checked_weights(
    config: RecurrentConfig, weights: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """The weights of a graph, each seen to be there and to fit.

    Raises:
        KerasGPTError: one is missing, or has another shape.
    """
    shapes = shapes_by_name(config)
    for name, shape in shapes.items():
        if name not in weights or weights[name].shape != shape:
            found = f"has shape {weights[name].shape}" if name in weights else "is missing"
            raise KerasGPTError(
                f"{name} {found} and the configuration wants {shape}: give the weights of such a model"
            )
    return {name: np.asarray(weights[name], np.float32) for name in shapes}
