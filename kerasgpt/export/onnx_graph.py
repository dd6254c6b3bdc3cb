"""A GPT-2 as an ONNX graph, written node by node: one file for optimum, ORT GenAI and transformers.js.

Standard operators only, so that every runtime runs it: 26 nodes a layer (27 with silu), which ONNX
Runtime fuses further when it loads the file. No TensorFlow, Keras or torch is involved.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from kerasgpt.artifacts import past_name, present_name
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError
from kerasgpt.export import onnx_file
from kerasgpt.version import __version__

OPSET: Final = 20
IR_VERSION: Final = 10
MASKED: Final = -1e9  # finite: a position that may see nothing gets numbers without meaning, not NaN

# The dimensions that vary, spelled as optimum spells them.
BATCH, NEW, PAST = "batch_size", "sequence_length", "past_sequence_length"
ALL = f"{PAST} + {NEW}"

# activation -> (operator, attributes); silu is x * sigmoid(x)
ACTIVATIONS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu": ("Gelu", {"approximate": "none"}),
    "relu": ("Relu", {}),
    "silu": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}

Weights: TypeAlias = Mapping[str, NDArray[np.float32]]
Shapes: TypeAlias = dict[str, tuple[int, ...]]


def write_onnx(
    config: GPT2Config,
    weights: Weights,
    path: str | os.PathLike[str],
    *,
    largest_file: int = onnx_file.LARGEST_FILE,
) -> None:
    """Write a model as an ONNX file.

    Inputs (int64): ``input_ids`` (B, T), ``attention_mask`` (B, S) with 0 at padding, ``position_ids``
    (B, T); and ``past_key_values.{i}.key|value`` float32 (B, N, S - T, H), of zero length at first.
    Outputs (float32): ``logits`` (B, T, V), ``present.{i}.key|value`` (B, N, S, H). A position sees its
    own column of the cache and earlier ones, where the mask is 1: padding may lie on either side.

    Args:
        config: all of its fields that change numbers are honoured.
        weights: float32 arrays by their Hugging Face names, ``transformer.wte.weight`` and so on, with
            ``lm_head.weight`` (V, D) only if the head is untied.
        path: of the file; missing folders are made.
        largest_file: bytes of weights above which they go to ``<path>_data`` beside it.

    Raises:
        KerasGPTError: a weight is missing or has another shape; the disk is full. No file is changed.
    """
    tensors = _checked(config, weights)
    graph = _Graph()
    _build(graph, config)
    onnx_file.save(_model(config, graph), tensors, path, largest_file=largest_file)


class _Graph:
    """Nodes and small constants, in the order they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.scope = ""

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node with one output, and return the output's name."""
        return self.add_many(operator, *inputs, outputs=[output], **attributes)[0]

    def add_many(self, operator: str, *inputs: str, outputs: Sequence[str], **attributes: Any) -> list[str]:
        """Append a node; an output given as "" is named after the node."""
        name = f"{self.scope}/{operator}_{len(self.nodes)}"
        names = [output or f"{name}:{number}" for number, output in enumerate(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=name, **attributes))
        return names

    def constant(self, name: str, value: Any, dtype: type[np.generic] = np.int64) -> str:
        """Add a small constant once, and return its name."""
        self.constants.setdefault(name, onnx_file.tensor(name, np.array(value, dtype)))
        return name

    def linear(self, value: str, prefix: str) -> str:
        """Add nodes for x W + b, with W laid out (in, out)."""
        return self.add("Add", self.add("MatMul", value, f"{prefix}.weight"), f"{prefix}.bias")

    def layer_norm(self, value: str, prefix: str, epsilon: float) -> str:
        """Normalise the last axis (Ba et al. 2016, arXiv:1607.06450)."""
        return self.add(
            "LayerNormalization", value, f"{prefix}.weight", f"{prefix}.bias", axis=-1, epsilon=epsilon
        )


def _build(graph: _Graph, config: GPT2Config) -> None:
    """Add all nodes of the forward pass."""
    bias = _mask_bias(graph)
    graph.scope = "embeddings"
    tokens = graph.add("Gather", "transformer.wte.weight", "input_ids")  # (B, T, D)
    positions = graph.add("Gather", "transformer.wpe.weight", "position_ids")
    hidden = graph.add("Add", tokens, positions)
    for layer in range(config.num_layers):
        prefix = f"transformer.h.{layer}"
        graph.scope = f"h.{layer}/attn"
        normed = graph.layer_norm(hidden, f"{prefix}.ln_1", config.layer_norm_epsilon)
        hidden = graph.add("Add", hidden, _attention(graph, config, layer, normed, bias))
        graph.scope = f"h.{layer}/mlp"
        normed = graph.layer_norm(hidden, f"{prefix}.ln_2", config.layer_norm_epsilon)
        hidden = graph.add("Add", hidden, _feed_forward(graph, config, f"{prefix}.mlp", normed))
    graph.scope = "head"
    hidden = graph.layer_norm(hidden, "transformer.ln_f", config.layer_norm_epsilon)
    _head(graph, config, hidden)


def _mask_bias(graph: _Graph) -> str:
    """0 where a query may look, a large negative number elsewhere: float32 (B, 1, T, S)."""
    graph.scope = "mask"
    zero, one = graph.constant("zero", 0), graph.constant("one", 1)
    num_columns = graph.add("Gather", graph.add("Shape", "attention_mask"), one)  # S
    num_queries = graph.add("Gather", graph.add("Shape", "input_ids"), one)  # T
    columns = graph.add("Range", zero, num_columns, one)  # (S,)
    first = graph.add("Sub", num_columns, num_queries)
    queries = graph.add("Range", first, num_columns, one)  # (T,)
    queries = graph.add("Unsqueeze", queries, graph.constant("axis_1", [1]))  # (T, 1)
    causal = graph.add("LessOrEqual", columns, queries)  # (T, S)
    mask = graph.add("Cast", "attention_mask", to=TensorProto.BOOL)
    mask = graph.add("Unsqueeze", mask, graph.constant("axes_1_2", [1, 2]))  # (B, 1, 1, S)
    allowed = graph.add("And", causal, mask)  # (B, 1, T, S)
    visible = graph.constant("visible", 0.0, np.float32)
    return graph.add("Where", allowed, visible, graph.constant("masked", MASKED, np.float32))


def _attention(graph: _Graph, config: GPT2Config, layer: int, hidden: str, bias: str) -> str:
    """Multi-head attention over past and new columns: (B, T, D) -> (B, T, D)."""
    prefix, heads, width = f"transformer.h.{layer}.attn", config.num_heads, config.head_dim
    split = graph.constant("split_heads", [0, 0, 3 * heads, width])
    merge = graph.constant("merge_heads", [0, 0, config.hidden_dim])
    scale = graph.constant(f"attention_scale.{layer}", config.attention_scale(layer), np.float32)
    fused = graph.add("Reshape", graph.linear(hidden, f"{prefix}.c_attn"), split)  # (B, T, 3N, H)
    fused = graph.add("Transpose", fused, perm=[0, 2, 1, 3])  # (B, 3N, T, H)
    query, key, value = graph.add_many("Split", fused, outputs=["", "", ""], axis=1, num_outputs=3)
    key = graph.add("Concat", past_name(layer, "key"), key, output=present_name(layer, "key"), axis=2)
    value = graph.add("Concat", past_name(layer, "value"), value, output=present_name(layer, "value"), axis=2)
    transposed = graph.add("Transpose", key, perm=[0, 1, 3, 2])  # (B, N, H, S)
    scores = graph.add("MatMul", graph.add("Mul", query, scale), transposed)  # (B, N, T, S)
    weights = graph.add("Softmax", graph.add("Add", scores, bias), axis=-1)
    context = graph.add("Transpose", graph.add("MatMul", weights, value), perm=[0, 2, 1, 3])  # (B, T, N, H)
    return graph.linear(graph.add("Reshape", context, merge), f"{prefix}.c_proj")


def _feed_forward(graph: _Graph, config: GPT2Config, prefix: str, hidden: str) -> str:
    """activation(x W_fc + b) W_proj + b: (B, T, D) -> (B, T, F) -> (B, T, D)."""
    inner = graph.linear(hidden, f"{prefix}.c_fc")
    operator, attributes = ACTIVATIONS[config.activation]
    activated = graph.add(operator, inner, **attributes)
    if config.activation == "silu":
        activated = graph.add("Mul", inner, activated)
    return graph.linear(activated, f"{prefix}.c_proj")


def _head(graph: _Graph, config: GPT2Config, hidden: str) -> None:
    """Logits by the (V, D) table of the embeddings, or an untied one laid out the same."""
    table = "transformer.wte.weight" if config.tie_word_embeddings else "lm_head.weight"
    # Gemm reads the table as it lies. A Transpose before a MatMul would be folded into a second table
    # at load; hidden states multiplied from the right save its packing, but cost 15 % of a step.
    rows = graph.add("Reshape", hidden, graph.constant("rows", [-1, config.hidden_dim]))  # (B T, D)
    logits = graph.add("Gemm", rows, table, transB=1)  # (B T, V)
    vocabulary = graph.constant("vocabulary", [config.vocabulary_size])
    shape = graph.add("Concat", graph.add("Shape", "input_ids"), vocabulary, axis=0)
    graph.add("Reshape", logits, shape, output="logits")  # (B, T, V)


def _model(config: GPT2Config, graph: _Graph) -> onnx.ModelProto:
    """Put nodes, constants, inputs and outputs together; the weights come with the file."""

    def caches(name: Any, columns: str) -> list[onnx.ValueInfoProto]:
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
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [BATCH, NEW, config.vocabulary_size])
    body = helper.make_graph(
        graph.nodes,
        "gpt2",
        inputs + caches(past_name, PAST),
        [logits, *caches(present_name, ALL)],
        list(graph.constants.values()),
    )
    return helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="kerasgpt",
        producer_version=__version__,
    )


def weight_shapes(config: GPT2Config) -> Shapes:
    """The Hugging Face name and the shape of each weight of a model."""
    width, inner = config.hidden_dim, config.feed_forward_dim
    norm: Shapes = {"weight": (width,), "bias": (width,)}

    def linear(rows: int, columns: int) -> Shapes:
        return {"weight": (rows, columns), "bias": (columns,)}

    block = {
        "ln_1": norm,
        "attn.c_attn": linear(width, 3 * width),
        "attn.c_proj": linear(width, width),
        "ln_2": norm,
        "mlp.c_fc": linear(width, inner),
        "mlp.c_proj": linear(inner, width),
    }
    parts: dict[str, Shapes] = {
        "wte": {"weight": (config.vocabulary_size, width)},
        "wpe": {"weight": (config.max_sequence_length, width)},
        **{f"h.{layer}.{name}": part for layer in range(config.num_layers) for name, part in block.items()},
        "ln_f": norm,
    }
    shapes = {
        f"transformer.{part}.{name}": shape for part, sizes in parts.items() for name, shape in sizes.items()
    }
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocabulary_size, width)
    return shapes


def _checked(config: GPT2Config, weights: Weights) -> dict[str, NDArray[np.float32]]:
    """The weights of the graph in float32, each seen to be there and to fit."""
    tensors = {}
    for name, shape in weight_shapes(config).items():
        if name not in weights:
            raise KerasGPTError(f"the weights lack {name}: give those of a model of this configuration")
        if weights[name].shape != shape:
            raise KerasGPTError(
                f"{name} has shape {weights[name].shape} and the configuration wants {shape}:"
                f" give the configuration the weights were made with"
            )
        tensors[name] = np.ascontiguousarray(weights[name], np.float32)
    return tensors
