"""The operators that hold a graph's large matrices: in float32, or in blocks of 8 or 4 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from kerasgpt.config import GPT2Config
from kerasgpt.export.onnx_nodes import MICROSOFT, Graph
from kerasgpt.export.onnx_weights import Weights
from kerasgpt.export.quantization import Quantized

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
Products: TypeAlias = Mapping[str, NDArray[np.float64]]

TOKENS = "transformer.wte.weight"
TABLES = (TOKENS, "lm_head.weight")  # (V, D): laid out (out, in), unlike the projections
PROJECTIONS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def head_table(config: GPT2Config) -> str:
    """The name of the (V, D) table that makes logits."""
    return TOKENS if config.tie_word_embeddings else "lm_head.weight"


def matrix_shapes(config: GPT2Config) -> dict[str, tuple[int, int]]:
    """Name of each large matrix -> its inputs K and outputs N; the embeddings come with the head."""
    width, inner = config.hidden_dim, config.feed_forward_dim
    sizes = ((width, 3 * width), (width, width), (width, inner), (inner, width))
    layers = {
        f"transformer.h.{layer}.{part}.weight": size
        for layer in range(config.num_layers)
        for part, size in zip(PROJECTIONS, sizes, strict=True)
    }
    return {head_table(config): (width, config.vocabulary_size), **layers}


class Kernels(Protocol):
    """How a graph multiplies by its large matrices, and how those are stored."""

    @property
    def half(self) -> bool:
        """Whether the graph computes in float16."""

    @property
    def adds_bias(self) -> bool:
        """Whether `linear` adds the bias in the same operator."""

    def tensors(self, config: GPT2Config, weights: Weights) -> Tensors:
        """The weights as the graph stores them."""

    def embedding(self, graph: Graph, config: GPT2Config, ids: str) -> str:
        """Look up tokens: (B, T) -> (B, T, D)."""

    def linear(self, graph: Graph, value: str, prefix: str, shape: tuple[int, int]) -> str:
        """X W, plus b if `adds_bias`: (B, T, K) -> (B, T, N), W being of `shape` (K, N)."""

    def head(self, graph: Graph, config: GPT2Config, hidden: str) -> None:
        """Logits by the (V, D) table: (B, T, D) -> (B, T, V), named ``logits``."""


def linear(graph: Graph, kernels: Kernels, value: str, prefix: str, shape: tuple[int, int]) -> str:
    """X W + b, W being of `shape`."""
    product = kernels.linear(graph, value, prefix, shape)
    return product if kernels.adds_bias else graph.add("Add", product, f"{prefix}.bias")


def dequantized(matrices: Mapping[str, Quantized]) -> dict[str, NDArray[np.float32]]:
    """Matrices as their integers have them, laid out as the weights are."""
    arrays = {name: found.dequantized() for name, found in matrices.items()}
    return {
        name: array if name in TABLES else np.ascontiguousarray(array.T) for name, array in arrays.items()
    }


@dataclass(frozen=True)
class Standard:
    """Every matrix in float32 or float16, by operators of the ONNX standard alone.

    Args:
        half: whether the graph computes in float16; its logits are float32 in any case.
        rounded: weights to be written in place of those given, for a graph that a quantised one is compared
            with; see `dequantized`.
    """

    half: bool = False
    rounded: Tensors = field(default_factory=dict)

    adds_bias = False

    def tensors(self, config: GPT2Config, weights: Weights) -> Tensors:
        """The weights as they are, or as their integers are."""
        return {**weights, **self.rounded}

    def embedding(self, graph: Graph, config: GPT2Config, ids: str) -> str:
        """A row of the table each."""
        return graph.add("Gather", TOKENS, ids)

    def linear(self, graph: Graph, value: str, prefix: str, shape: tuple[int, int]) -> str:
        """A MatMul, which leaves the bias to the operator that follows."""
        return graph.add("MatMul", value, f"{prefix}.weight")

    def head(self, graph: Graph, config: GPT2Config, hidden: str) -> None:
        """The table is read as it lies, so that it is stored once."""
        # By Gemm: a Transpose before a MatMul would be folded into a second table at load; hidden states
        # multiplied from the right save its packing, but cost 15 % of a step.
        rows = graph.add("Reshape", hidden, graph.constant("rows", [-1, config.hidden_dim]))  # (B T, D)
        logits = graph.add("Gemm", rows, head_table(config), transB=1)  # (B T, V)
        if self.half:
            logits = graph.add("Cast", logits, to=TensorProto.FLOAT)
        vocabulary = graph.constant("vocabulary", [config.vocabulary_size])
        shape = graph.add("Concat", graph.add("Shape", "position_ids"), vocabulary, axis=0)
        graph.add("Reshape", logits, shape, output="logits")  # (B, T, V)


@dataclass(frozen=True)
class Float32(Standard):
    """Every matrix in float32, and the head by one of ONNX Runtime's own operators."""

    def head(self, graph: Graph, config: GPT2Config, hidden: str) -> None:
        """The table is read as it lies, so that it is stored once."""
        graph.add("FusedMatMul", hidden, head_table(config), output="logits", transB=1, domain=MICROSOFT)
