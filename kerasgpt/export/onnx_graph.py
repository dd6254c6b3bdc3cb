"""A GPT-2 as an ONNX graph, written node by node: one file for optimum, ORT GenAI and transformers.js.

Standard operators only, so that every runtime runs it: 26 nodes a layer (27 with silu, two more in float16),
which ONNX Runtime fuses further when it loads the file. No TensorFlow, Keras or torch is involved.
"""

from __future__ import annotations

import os
from typing import Final

import numpy as np
from onnx import TensorProto

from kerasgpt.artifacts import past_name, present_name
from kerasgpt.config import GPT2Config
from kerasgpt.export import onnx_file
from kerasgpt.export.kernels import Kernels, Standard, linear
from kerasgpt.export.onnx_nodes import Graph, model_of
from kerasgpt.export.onnx_weights import Weights, checked_weights

MASKED: Final = -1e9  # finite: a position that may see nothing gets numbers without meaning, not NaN

STANDARD: Final = Standard()

# activation -> (operator, attributes); silu is x * sigmoid(x)
ACTIVATIONS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu": ("Gelu", {"approximate": "none"}),
    "relu": ("Relu", {}),
    "silu": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}


def write_onnx(
    config: GPT2Config,
    weights: Weights,
    path: str | os.PathLike[str],
    *,
    kernels: Kernels = STANDARD,
    inputs_embeds: bool = False,
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
        kernels: how the large matrices are stored. In float16 attention, which sums over many columns, and
            all inputs and outputs stay float32. Blocks of integers need operators that no standard has:
            `Blockwise` two of ONNX Runtime's, `PortableBlockwise` one that it has in browsers, too.
        inputs_embeds: whether the graph reads ``inputs_embeds`` float32 (B, T, D) in place of ``input_ids``.
        largest_file: bytes of weights above which they go to ``<path>_data`` beside it.

    Raises:
        KerasGPTError: a weight is missing, has another shape or exceeds float16; the disk is full. No file
            is changed.
    """
    dtype = np.float16 if kernels.half else np.float32
    tensors = kernels.tensors(config, checked_weights(config, weights, dtype))
    graph = Graph()
    _build(graph, config, kernels)
    model = model_of(config, graph, inputs_embeds=inputs_embeds)
    onnx_file.save(model, tensors, path, largest_file=largest_file)


def _build(graph: Graph, config: GPT2Config, kernels: Kernels) -> None:
    """Add all nodes of the forward pass."""
    bias = _mask_bias(graph)
    graph.scope = "embeddings"
    tokens = kernels.embedding(graph, config, "input_ids")  # (B, T, D)
    positions = graph.add("Gather", "transformer.wpe.weight", "position_ids")
    hidden = graph.add("Add", tokens, positions)
    for layer in range(config.num_layers):
        prefix = f"transformer.h.{layer}"
        graph.scope = f"h.{layer}/attn"
        normed = _layer_norm(graph, hidden, f"{prefix}.ln_1", config.layer_norm_epsilon)
        hidden = graph.add("Add", hidden, _attention(graph, config, kernels, layer, normed, bias))
        graph.scope = f"h.{layer}/mlp"
        normed = _layer_norm(graph, hidden, f"{prefix}.ln_2", config.layer_norm_epsilon)
        hidden = graph.add("Add", hidden, _feed_forward(graph, config, kernels, f"{prefix}.mlp", normed))
    graph.scope = "head"
    hidden = _layer_norm(graph, hidden, "transformer.ln_f", config.layer_norm_epsilon)
    kernels.head(graph, config, hidden)


def _mask_bias(graph: Graph) -> str:
    """0 where a query may look, a large negative number elsewhere: float32 (B, 1, T, S)."""
    graph.scope = "mask"
    zero, one = graph.constant("zero", 0), graph.constant("one", 1)
    num_columns = graph.add("Gather", graph.add("Shape", "attention_mask"), one)  # S
    num_queries = graph.add("Gather", graph.add("Shape", "position_ids"), one)  # T
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


def _attention(graph: Graph, config: GPT2Config, kernels: Kernels, layer: int, hidden: str, bias: str) -> str:
    """Multi-head attention over past and new columns: (B, T, D) -> (B, T, D)."""
    prefix, heads, width = f"transformer.h.{layer}.attn", config.num_heads, config.head_dim
    split = graph.constant("split_heads", [0, 0, 3 * heads, width])
    merge = graph.constant("merge_heads", [0, 0, config.hidden_dim])
    scale = graph.constant(f"attention_scale.{layer}", config.attention_scale(layer), np.float32)
    fused = linear(graph, kernels, hidden, f"{prefix}.c_attn", (config.hidden_dim, 3 * config.hidden_dim))
    fused = graph.add("Reshape", fused, split)  # (B, T, 3N, H)
    fused = graph.add("Transpose", fused, perm=[0, 2, 1, 3])  # (B, 3N, T, H)
    if kernels.half:
        fused = graph.add("Cast", fused, to=TensorProto.FLOAT)
    query, key, value = graph.add_many("Split", fused, outputs=["", "", ""], axis=1, num_outputs=3)
    key = graph.add("Concat", past_name(layer, "key"), key, output=present_name(layer, "key"), axis=2)
    value = graph.add("Concat", past_name(layer, "value"), value, output=present_name(layer, "value"), axis=2)
    transposed = graph.add("Transpose", key, perm=[0, 1, 3, 2])  # (B, N, H, S)
    scores = graph.add("MatMul", graph.add("Mul", query, scale), transposed)  # (B, N, T, S)
    weights = graph.add("Softmax", graph.add("Add", scores, bias), axis=-1)
    context = graph.add("Transpose", graph.add("MatMul", weights, value), perm=[0, 2, 1, 3])  # (B, T, N, H)
    context = graph.add("Reshape", context, merge)
    if kernels.half:
        context = graph.add("Cast", context, to=TensorProto.FLOAT16)
    return linear(graph, kernels, context, f"{prefix}.c_proj", (config.hidden_dim, config.hidden_dim))


def _feed_forward(graph: Graph, config: GPT2Config, kernels: Kernels, prefix: str, hidden: str) -> str:
    """activation(x W_fc + b) W_proj + b: (B, T, D) -> (B, T, F) -> (B, T, D)."""
    inner = linear(graph, kernels, hidden, f"{prefix}.c_fc", (config.hidden_dim, config.feed_forward_dim))
    operator, attributes = ACTIVATIONS[config.activation]
    activated = graph.add(operator, inner, **attributes)
    if config.activation == "silu":
        activated = graph.add("Mul", inner, activated)
    return linear(graph, kernels, activated, f"{prefix}.c_proj", (config.feed_forward_dim, config.hidden_dim))


def _layer_norm(graph: Graph, value: str, prefix: str, epsilon: float) -> str:
    """Normalise the last axis (Ba et al. 2016, arXiv:1607.06450)."""
    return graph.add(
        "LayerNormalization", value, f"{prefix}.weight", f"{prefix}.bias", axis=-1, epsilon=epsilon
    )
