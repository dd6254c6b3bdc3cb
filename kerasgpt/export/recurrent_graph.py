"""An LSTM or GRU language model as an ONNX graph: one file reads prompts and steps, its state in and out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from kerasgpt.artifacts import past_state_name, present_state_name
from kerasgpt.checkpoints.recurrent import checked_weights
from kerasgpt.export import onnx_file
from kerasgpt.export.onnx_nodes import BATCH, IR_VERSION, NEW, Graph
from kerasgpt.export.onnx_weights import Weights
from kerasgpt.recurrent_config import EMBEDDINGS, GATES, HEAD, RecurrentConfig
from kerasgpt.version import __version__

ORDER: Final = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2)}
"""Cell -> where each of ONNX's gates stands in ours: of an LSTM i, o, f, c, of a GRU z, r, h."""

OPERATORS: Final[dict[str, tuple[str, dict[str, int]]]] = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {"linear_before_reset": 1}),
}
"""Cell -> ONNX's operator and its attributes."""


def write_recurrent(config: RecurrentConfig, weights: Weights, path: str | os.PathLike[str]) -> None:
    """Write a model as an ONNX file of standard operators, a recurrent one for each layer.

    Inputs: ``input_ids`` int64 (B, T); ``lengths`` int32 (B,), tokens of each row that count, at least 1; and
    ``past_state.{i}.hidden`` float32 (1, B, H), of an LSTM also ``past_state.{i}.cell``, zeros at first.
    Outputs float32: ``logits`` (B, T, V), those behind a row's tokens without meaning, and
    ``present_state.{i}.hidden|cell`` (1, B, H), the state after each row's last token.

    Args:
        config: of the model.
        weights: float32 arrays by their names in model.safetensors.
        path: of the file; missing folders are made.

    Raises:
        KerasGPTError: a weight is missing or has another shape; the disk is full. No file is changed.
    """
    tensors = _tensors(config, checked_weights(config, weights))
    graph = Graph()
    _build(graph, config)
    onnx_file.save(_model_of(config, graph), tensors, path)


def _tensors(config: RecurrentConfig, weights: Weights) -> dict[str, NDArray[np.float32]]:
    """The weights as ONNX lays them out, (directions, gates H, inputs), and its gates in its order."""
    found = {name: array for name, array in weights.items() if not name.startswith("layers.")}
    width = GATES[config.cell] * config.hidden_dim
    for layer in range(config.num_layers):
        prefix = f"layers.{layer}"
        for part in ("input", "state"):
            name = f"{prefix}.{part}.weight"
            found[name] = _reordered(weights[name], config.cell).T[None]
        bias = _reordered(weights[f"{prefix}.bias"], config.cell)
        # ONNX has biases of both products; an LSTM here has one for their sum.
        both = bias if bias.ndim == 2 else np.stack([bias, np.zeros(width, np.float32)])
        found[f"{prefix}.bias"] = both.reshape(1, 2 * width)
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _reordered(array: NDArray[np.float32], cell: str) -> NDArray[np.float32]:
    gates = np.split(array, GATES[cell], axis=-1)
    return np.concatenate([gates[place] for place in ORDER[cell]], axis=-1)


def _build(graph: Graph, config: RecurrentConfig) -> None:
    """Add all nodes of the forward pass."""
    graph.scope = "embeddings"
    hidden = graph.add("Gather", EMBEDDINGS, "input_ids")  # (B, T, E)
    hidden = graph.add("Transpose", hidden, perm=[1, 0, 2])  # (T, B, E)
    operator, attributes = OPERATORS[config.cell]
    for layer in range(config.num_layers):
        graph.scope = f"layers.{layer}"
        matrices = [f"layers.{layer}.{part}" for part in ("input.weight", "state.weight", "bias")]
        hidden, *_ = graph.add_many(
            operator,
            hidden,
            *matrices,
            "lengths",
            *(past_state_name(layer, part) for part in config.states),
            outputs=["", *(present_state_name(layer, part) for part in config.states)],
            hidden_size=config.hidden_dim,
            **attributes,
        )
        hidden = graph.add("Squeeze", hidden, graph.constant("axis_1", [1]))  # (T, B, H)
    graph.scope = "head"
    hidden = graph.add("Transpose", hidden, perm=[1, 0, 2])  # (B, T, H)
    if config.has_projection:
        hidden = graph.add("Add", graph.add("MatMul", hidden, "projection.weight"), "projection.bias")
    table = graph.add("Transpose", EMBEDDINGS if config.tie_word_embeddings else HEAD, perm=[1, 0])
    graph.add("MatMul", hidden, table, output="logits")


def _model_of(config: RecurrentConfig, graph: Graph) -> onnx.ModelProto:
    """Put nodes, constants, inputs and outputs together; the weights come with the file."""

    def states(name: Any) -> list[onnx.ValueInfoProto]:
        shape = [1, BATCH, config.hidden_dim]
        return [
            helper.make_tensor_value_info(name(layer, part), TensorProto.FLOAT, shape)
            for layer in range(config.num_layers)
            for part in config.states
        ]

    def value(name: str, kind: int, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [
        value("input_ids", TensorProto.INT64, [BATCH, NEW]),
        value("lengths", TensorProto.INT32, [BATCH]),
    ]
    answer = value("logits", TensorProto.FLOAT, [BATCH, NEW, config.vocabulary_size])
    body = helper.make_graph(
        graph.nodes,
        config.cell,
        [*inputs, *states(past_state_name)],
        [answer, *states(present_state_name)],
        list(graph.constants.values()),
    )
    return helper.make_model(
        body,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()],
        ir_version=IR_VERSION,
        producer_name="kerasgpt",
        producer_version=__version__,
    )
