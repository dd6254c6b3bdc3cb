"""A GPT-2 as the ONNX graph that a CPU runs fastest: ONNX Runtime's own operators, 8 to 10 a layer.

The cache is one buffer for past and present (`GroupQueryAttention`), of any capacity; the norms add the
residual; and the head reads the last position only, unless it is asked for more.
"""

from __future__ import annotations

import os
from typing import Any, Final

from onnx import TensorProto

from kerasgpt.artifacts import LOGIT_OFFSETS, past_name, present_name
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.export import onnx_file
from kerasgpt.export.folding import without_means
from kerasgpt.export.kernels import Kernels, linear
from kerasgpt.export.onnx_nodes import MICROSOFT, Graph, model_of
from kerasgpt.export.onnx_weights import Weights, checked_weights

CAPACITY: Final = "cache_capacity"

# activation -> (operator that takes a bias too, if any; operator without, its attributes, its domain)
_ACTIVATIONS: Final[dict[str, tuple[str, str, dict[str, Any], str]]] = {
    "gelu_new": ("FastGelu", "FastGelu", {}, MICROSOFT),
    "gelu": ("BiasGelu", "Gelu", {"approximate": "none"}, ""),
    "relu": ("", "Relu", {}, ""),
    "silu": ("", "QuickGelu", {"alpha": 1.0}, MICROSOFT),  # x sigmoid(alpha x)
    "tanh": ("", "Tanh", {}, ""),
}


def write_fused(
    config: GPT2Config,
    weights: Weights,
    path: str | os.PathLike[str],
    kernels: Kernels,
    *,
    largest_file: int = onnx_file.LARGEST_FILE,
) -> None:
    """Write a model as an ONNX file for ONNX Runtime on a CPU.

    Inputs (int64): ``input_ids`` (B, T); ``attention_mask`` (B, S), whose rows begin with as many 1 as the
    row has tokens, past and new, padding on the right; ``position_ids`` (B, T); and
    ``past_key_values.{i}.key|value`` float32 (B, N, C, H), whose first columns are filled. Outputs:
    ``logits`` float32 (B, K, V), ``present.{i}.key|value``, to be bound to the memory of the past.
    ``logit_offsets`` (K,) may be given: which positions to answer for, counted from each row's last token;
    by default it is [0]. A batch of more than one row takes several tokens only while nothing is past.

    Args:
        config: all of its fields that change numbers are honoured.
        weights: float32 arrays by their Hugging Face names, as `onnx_graph.write_onnx` takes them.
        path: of the file; missing folders are made.
        kernels: how the large matrices are stored.
        largest_file: bytes of weights above which they go to ``<path>_data`` beside it.

    Raises:
        UsageError: the fused operators do not know this shape, see `why_not`.
        KerasGPTError: a weight is missing or has another shape; the disk is full. No file is changed.
    """
    if reason := why_not(config):
        raise UsageError(f"{path}: {reason}; export the portable graph alone")
    tensors = kernels.tensors(config, without_means(config, checked_weights(config, weights)))
    graph = Graph()
    _build(graph, config, kernels)
    # One position by default, and GenAI reads from the declared shape that it is the last; whoever gives
    # other offsets gets as many.
    model = model_of(
        config, graph, cache_columns=(CAPACITY, CAPACITY), num_logits=1, defaults=[LOGIT_OFFSETS]
    )
    onnx_file.save(model, tensors, path, largest_file=largest_file)


def why_not(config: GPT2Config) -> str:
    """Why a model cannot be written this way, or "" if it can.

    >>> why_not(GPT2Config(hidden_dim=12, num_heads=4))
    'a head is 3 wide, and ONNX Runtime fuses attention for multiples of 8 only'
    """
    if config.head_dim % 8 == 0:
        return ""
    return f"a head is {config.head_dim} wide, and ONNX Runtime fuses attention for multiples of 8 only"


def _build(graph: Graph, config: GPT2Config, kernels: Kernels) -> None:
    """Add all nodes; `update` is what the last part wrote, not yet added to the stream."""
    lengths = _lengths(graph)
    stream, update = _embeddings(graph, config, kernels)
    bias = ""
    width, inner = config.hidden_dim, config.feed_forward_dim
    for layer in range(config.num_layers):
        prefix = f"transformer.h.{layer}"
        graph.scope = f"h.{layer}/attn"
        normed, stream = _rms_norm(graph, config, f"{prefix}.ln_1", stream, update, bias)
        fused = linear(graph, kernels, normed, f"{prefix}.attn.c_attn", (width, 3 * width))
        context = _attention(graph, config, layer, fused, lengths)
        update, bias = _unfinished(graph, kernels, context, f"{prefix}.attn.c_proj", (width, width))
        graph.scope = f"h.{layer}/mlp"
        normed, stream = _rms_norm(graph, config, f"{prefix}.ln_2", stream, update, bias)
        hidden, bias = _unfinished(graph, kernels, normed, f"{prefix}.mlp.c_fc", (width, inner))
        hidden = _activated(graph, config.activation, hidden, bias)
        update, bias = _unfinished(graph, kernels, hidden, f"{prefix}.mlp.c_proj", (inner, width))
    graph.scope = "head"
    inputs = [stream, update, "transformer.ln_f.weight", "transformer.ln_f.bias", bias]
    normed = graph.add(
        "SkipLayerNormalization",
        *inputs[: None if bias else 4],
        epsilon=config.layer_norm_epsilon,
        domain=MICROSOFT,
    )
    kernels.head(graph, config, _asked_positions(graph, normed))


def _lengths(graph: Graph) -> tuple[str, str]:
    """What the attention wants to know: tokens of each row less one, int32 (B, 1), and their maximum, S."""
    graph.scope = "lengths"
    one = graph.constant("one", 1)
    last = graph.add("ReduceSum", "attention_mask", graph.constant("axis_1", [1]))
    last = graph.add("Sub", last, one, output="last_columns")  # (B, 1)
    total = graph.add("Shape", "attention_mask", start=1, end=2, output="num_columns")
    return (
        graph.add("Cast", last, to=TensorProto.INT32),
        graph.add("Cast", total, to=TensorProto.INT32),
    )


def _embeddings(graph: Graph, config: GPT2Config, kernels: Kernels) -> tuple[str, str]:
    """Token embeddings without their mean, and position embeddings, which have none: (B, T, D) each."""
    graph.scope = "embeddings"
    tokens = kernels.embedding(graph, config, "input_ids")
    mean = graph.add("ReduceMean", tokens, graph.constant("last_axis", [-1]), keepdims=1)
    tokens = graph.add("Sub", tokens, mean)
    return tokens, graph.add("Gather", "transformer.wpe.weight", "position_ids")


def _rms_norm(
    graph: Graph, config: GPT2Config, prefix: str, stream: str, update: str, bias: str
) -> tuple[str, str]:
    """Add an update and its bias to the stream, and normalise: what is normed, and the new stream."""
    inputs = [stream, update, f"{prefix}.weight", *([bias] if bias else [])]
    normed, _, _, stream = graph.add_many(
        "SkipSimplifiedLayerNormalization",
        *inputs,
        outputs=["", None, None, ""],
        epsilon=config.layer_norm_epsilon,
        domain=MICROSOFT,
    )
    return normed, stream


def _unfinished(
    graph: Graph, kernels: Kernels, value: str, prefix: str, shape: tuple[int, int]
) -> tuple[str, str]:
    """X W, and the name of the bias that is still to be added, if any."""
    return kernels.linear(graph, value, prefix, shape), "" if kernels.adds_bias else f"{prefix}.bias"


def _attention(graph: Graph, config: GPT2Config, layer: int, fused: str, lengths: tuple[str, str]) -> str:
    """Causal attention to the cache, which it extends: queries, keys and values (B, T, 3D) -> (B, T, D)."""
    context, _, _ = graph.add_many(
        "GroupQueryAttention",
        fused,
        "",
        "",
        past_name(layer, "key"),
        past_name(layer, "value"),
        *lengths,
        outputs=["", present_name(layer, "key"), present_name(layer, "value")],
        num_heads=config.num_heads,
        kv_num_heads=config.num_heads,
        scale=config.attention_scale(layer),
        domain=MICROSOFT,
    )
    return context


def _activated(graph: Graph, activation: str, value: str, bias: str) -> str:
    """activation(x + b), b being there or not: (B, T, F)."""
    with_bias, operator, attributes, domain = _ACTIVATIONS[activation]
    if bias and with_bias:
        return graph.add(with_bias, value, bias, domain=MICROSOFT)
    if bias:
        value = graph.add("Add", value, bias)
    return graph.add(operator, value, **attributes, domain=domain)


def _asked_positions(graph: Graph, hidden: str) -> str:
    """The positions to answer for: (B, T, D) -> (B, K, D)."""
    num_new = graph.add("Shape", "input_ids", start=1, end=2)
    num_past = graph.add("Sub", "num_columns", num_new)
    last = graph.add("Sub", "last_columns", num_past)  # (B, 1), which of the new tokens is the row's last
    asked = graph.add("Add", last, graph.constant(LOGIT_OFFSETS, [0]))  # (B, K)
    # A short row in a batch has its columns before those of the others; its one new token is number 0.
    asked = graph.add("Max", asked, graph.constant("zero", 0))
    asked = graph.add("Unsqueeze", asked, graph.constant("last_axis", [-1]))
    return graph.add("GatherND", hidden, asked, batch_dims=1)
