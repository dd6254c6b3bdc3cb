"""A graph in the making: nodes and small constants in the order they are added, and the model around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from kerasgpt.artifacts import INPUTS_EMBEDS, past_name, present_name
from kerasgpt.config import GPT2Config
from kerasgpt.export import onnx_file
from kerasgpt.version import __version__

OPSET: Final = 20
IR_VERSION: Final = 10
MICROSOFT: Final = "com.microsoft"  # ONNX Runtime's own operators

# The dimensions that vary, spelled as optimum spells them.
BATCH, NEW, PAST = "batch_size", "sequence_length", "past_sequence_length"
ALL = f"{PAST} + {NEW}"


class Graph:
    """Nodes and small constants, in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.shown: list[onnx.ValueInfoProto] = []
        self.scope = ""

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node with one output, and return the output's name."""
        return self.add_many(operator, *inputs, outputs=[output], **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, outputs: Sequence[str | None], **attributes: Any
    ) -> list[str]:
        """Append a node; an output given as "" is named after the node, None leaves it out."""
        name = f"{self.scope}/{operator}_{len(self.nodes)}"
        names = [
            "" if output is None else output or f"{name}:{number}" for number, output in enumerate(outputs)
        ]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=name, **attributes))
        return names

    def constant(self, name: str, value: Any, dtype: type[np.generic] = np.int64) -> str:
        """Add a small constant once, and return its name."""
        self.constants.setdefault(name, onnx_file.tensor(name, np.array(value, dtype)))
        return name

    def show(self, value: str, name: str, size: int) -> None:
        """Give out a value on the way, float32 (B, T, size), as one more output."""
        self.add("Identity", value, output=name)
        self.shown.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, NEW, size]))

    @property
    def opsets(self) -> dict[str, int]:
        """Domain -> version, of the operators there are."""
        domains = {"", *(node.domain for node in self.nodes)}
        return {domain: 1 if domain else OPSET for domain in sorted(domains)}


def model_of(
    config: GPT2Config,
    graph: Graph,
    *,
    cache_columns: tuple[str, str] = (PAST, ALL),
    num_logits: str | int = NEW,
    defaults: Sequence[str] = (),
    inputs_embeds: bool = False,
) -> onnx.ModelProto:
    """Put nodes, constants, inputs and outputs together; the weights come with the file.

    Args:
        config: for the sizes.
        graph: its nodes read ``input_ids``, ``attention_mask``, ``position_ids`` and the caches.
        cache_columns: name of the cache's third dimension as an input, and as an output.
        num_logits: name or size of the second dimension of the logits.
        defaults: integer constants of the graph, (K,), that a caller may also give as inputs.
        inputs_embeds: whether the nodes read vectors of that name in place of ``input_ids``.
    """

    def caches(
        name: Callable[[int, Literal["key", "value"]], str], columns: str
    ) -> list[onnx.ValueInfoProto]:
        shape = [BATCH, config.num_heads, columns, config.head_dim]
        return [
            helper.make_tensor_value_info(name(layer, part), TensorProto.FLOAT, shape)
            for layer in range(config.num_layers)
            for part in ("key", "value")
        ]

    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [BATCH, columns])
        for name, columns in (("input_ids", NEW), ("attention_mask", ALL), ("position_ids", NEW))
    ]
    if inputs_embeds:
        shape = [BATCH, NEW, config.hidden_dim]
        inputs[0] = helper.make_tensor_value_info(INPUTS_EMBEDS, TensorProto.FLOAT, shape)
    optional = [helper.make_tensor_value_info(name, TensorProto.INT64, ["num_logits"]) for name in defaults]
    answer = helper.make_tensor_value_info(
        "logits", TensorProto.FLOAT, [BATCH, num_logits, config.vocabulary_size]
    )
    body = helper.make_graph(
        graph.nodes,
        "gpt2",
        [*inputs, *caches(past_name, cache_columns[0]), *optional],
        [answer, *caches(present_name, cache_columns[1]), *graph.shown],
        list(graph.constants.values()),
    )
    return helper.make_model(
        body,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()],
        ir_version=IR_VERSION,
        producer_name="kerasgpt",
        producer_version=__version__,
    )
