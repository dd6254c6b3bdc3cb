"""The operators that hold a graph's large matrices: in float32, or in blocks of 8 or 4 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from kerasgpt.config import GPT2Config
from kerasgpt.export.gptq import gptq
from kerasgpt.export.onnx_nodes import MICROSOFT, Graph
from kerasgpt.export.onnx_weights import Weights
from kerasgpt.export.quantization import Quantized, block_size_of, quantize

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
        shape = graph.add("Concat", graph.add("Shape", "input_ids"), vocabulary, axis=0)
        graph.add("Reshape", logits, shape, output="logits")  # (B, T, V)


@dataclass(frozen=True)
class Float32(Standard):
    """Every matrix in float32, and the head by one of ONNX Runtime's own operators."""

    def head(self, graph: Graph, config: GPT2Config, hidden: str) -> None:
        """The table is read as it lies, so that it is stored once."""
        graph.add("FusedMatMul", hidden, head_table(config), output="logits", transB=1, domain=MICROSOFT)


@dataclass(frozen=True)
class Blockwise:
    """Every matrix in blocks of integers; biases, norms and position embeddings stay float32.

    Args:
        bits: of the layers' projections, 8 or 4.
        head_bits: of the token embeddings and the head, which share one tensor; None means `bits`.
        block_size: numbers that share a scale, see `kerasgpt.export.quantization.BLOCK_SIZES`; None means the
            largest that fits, up to 128.
        accuracy_level: how ``MatMulNBits`` multiplies: 4 rounds its input to 8 bits in blocks, 0 keeps
            float32.
        matrices: in integers already; None means that they are rounded to the nearest.
    """

    bits: int
    head_bits: int | None = None
    block_size: int | None = None
    accuracy_level: int = 4
    matrices: Mapping[str, Quantized] | None = None

    half = False
    adds_bias = True

    def quantized(
        self,
        config: GPT2Config,
        weights: Weights,
        products: Products | None = None,
        read_by: Sequence[str] | None = None,
    ) -> dict[str, Quantized]:
        """Matrices in integers, each laid out (out, in).

        Args:
            config: of the model.
            weights: float32 arrays by their Hugging Face names.
            products: X X^T of what a matrix reads, by its name; those that have one are rounded by it, see
                `kerasgpt.export.gptq`, the others to the nearest.
            read_by: only those that belong to these of `matrix_shapes`; None means all.
        """
        wanted = self.names(config)
        if read_by is not None:
            wanted = [name for name in wanted if self.source(config, name) in read_by]
        return {name: self._quantized(name, weights, products or {}) for name in wanted}

    def source(self, config: GPT2Config, name: str) -> str:
        """Which of `matrix_shapes` what is quantised belongs to; embeddings come with the head."""
        return head_table(config) if name in TABLES else name

    def _quantized(self, name: str, weights: Weights, products: Products) -> Quantized:
        if name in TABLES:  # the embeddings have to be right as well as the logits
            return self._rounded_to(self.head_bits or self.bits, weights[name])
        return self._rounded_to(self.bits, weights[name].T, products.get(name))

    def _rounded_to(
        self, bits: int, matrix: NDArray[np.float32], products: NDArray[np.float64] | None = None
    ) -> Quantized:
        """A matrix (N, K) in so many bits."""
        size = self.size(matrix.shape[1], bits)
        if products is None:
            return quantize(matrix, bits, size)
        return gptq(matrix, products, bits, size)

    def rounded(self, config: GPT2Config) -> Tensors:
        """The weights that the matrices' integers stand for, by the names of an untied model if need be."""
        return dequantized(self.matrices or {})

    def exact(self, config: GPT2Config) -> Kernels:
        """The same in float32, with these weights."""
        return Float32(rounded=self.rounded(config))

    def tensors(self, config: GPT2Config, weights: Weights) -> Tensors:
        """The matrices as integers and scales, the rest as it is."""
        stored: dict[str, NDArray[Any]] = dict(weights)
        for name, found in (self.matrices or self.quantized(config, weights)).items():
            stored.pop(name, None)
            stored |= {f"{name}.integers": found.packed, f"{name}.scales": found.scales}
        return stored

    def names(self, config: GPT2Config) -> list[str]:
        """The names of what is quantised."""
        layers = range(config.num_layers)
        projections = [f"transformer.h.{layer}.{part}.weight" for layer in layers for part in PROJECTIONS]
        return [*dict.fromkeys([TOKENS, head_table(config)]), *projections]

    def embedding(self, graph: Graph, config: GPT2Config, ids: str) -> str:
        """A row of blocks each, made float32; the integers are the head's, in its shape."""
        width, bits = config.hidden_dim, self.head_bits or self.bits
        size = self.size(width, bits)
        axis = graph.constant("axis_2", [2])
        scales = graph.add("Unsqueeze", f"{TOKENS}.scales", axis)  # (V, K / block, 1)
        blocks = graph.add(
            "GatherBlockQuantized",
            f"{TOKENS}.integers",
            ids,
            scales,
            bits=bits,
            block_size=size,
            gather_axis=0,
            quantize_axis=2,
            domain=MICROSOFT,
        )  # (B, T, K / block, block)
        padded = -(-width // size) * size
        rows = graph.add("Reshape", blocks, graph.constant("embedding_rows", [0, 0, padded]))
        if padded == width:
            return rows
        return graph.add("Slice", rows, graph.constant("first", [0]), graph.constant("width", [width]), axis)

    def linear(self, graph: Graph, value: str, prefix: str, shape: tuple[int, int]) -> str:
        """One operator, bias included."""
        return self.multiply(graph, value, f"{prefix}.weight", shape, self.bits, bias=f"{prefix}.bias")

    def head(self, graph: Graph, config: GPT2Config, hidden: str) -> None:
        """One operator."""
        shape = (config.hidden_dim, config.vocabulary_size)
        bits = self.head_bits or self.bits
        self.multiply(graph, hidden, head_table(config), shape, bits, output="logits")

    def multiply(
        self,
        graph: Graph,
        value: str,
        name: str,
        shape: tuple[int, int],
        bits: int,
        *,
        bias: str = "",
        output: str = "",
    ) -> str:
        """X W by the integers and scales of a name."""
        inputs = [value, f"{name}.integers", f"{name}.scales", *(["", "", bias] if bias else [])]
        return graph.add(
            "MatMulNBits",
            *inputs,
            output=output,
            K=shape[0],
            N=shape[1],
            bits=bits,
            block_size=self.size(shape[0], bits),
            accuracy_level=self.accuracy_level,
            domain=MICROSOFT,
        )

    def size(self, num_columns: int, bits: int) -> int:
        """Numbers of a matrix of so many columns and bits that share a scale."""
        return self.block_size or block_size_of(num_columns)
