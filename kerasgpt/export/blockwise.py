"""Kernels that hold the large matrices in blocks of small integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GPT2Config
from kerasgpt.export.gptq import gptq
from kerasgpt.export.kernels import (
    PROJECTIONS,
    TABLES,
    TOKENS,
    Float32,
    Kernels,
    Products,
    Tensors,
    dequantized,
    head_table,
)
from kerasgpt.export.onnx_nodes import MICROSOFT, Graph
from kerasgpt.export.onnx_weights import Weights
from kerasgpt.export.quantization import Quantized, block_size_of, quantize


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
        others: weights that belong to them, in place of those given: norms, or biases.
    """

    bits: int
    head_bits: int | None = None
    block_size: int | None = None
    accuracy_level: int = 4
    matrices: Mapping[str, Quantized] | None = None
    others: Tensors = field(default_factory=dict)

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
            products: X X^T of what a matrix reads, by its name in `matrix_shapes`. In 4 bits it is rounded by
                them, see `kerasgpt.export.gptq`; embeddings, and what has 8 bits, to the nearest.
            read_by: only those that belong to these of `matrix_shapes`; None means all.
        """
        found = {}
        for name in self.names(config):
            source = self.source(config, name)
            if read_by is None or source in read_by:
                matrix, bits = self.matrix(config, weights, name)
                size = self.size(matrix.shape[1], bits)
                seen = None if bits == 8 or name in TABLES else (products or {}).get(source)
                found[name] = quantize(matrix, bits, size) if seen is None else gptq(matrix, seen, bits, size)
        return found

    def source(self, config: GPT2Config, name: str) -> str:
        """Which of `matrix_shapes` what is quantised belongs to; embeddings come with the head."""
        return head_table(config) if name in TABLES else name

    def matrix(self, config: GPT2Config, weights: Weights, name: str) -> tuple[NDArray[np.float32], int]:
        """What is quantised under a name, laid out (out, in), and its bits."""
        if name in TABLES:
            return weights[name], self.head_bits or self.bits
        return weights[name].T, self.bits

    def rounded(self, config: GPT2Config) -> Tensors:
        """The weights that the integers stand for, and those that belong to them."""
        return {**self.others, **dequantized(self.matrices or {})}

    def exact(self, config: GPT2Config) -> Kernels:
        """The same in float32, with these weights."""
        return Float32(rounded=self.rounded(config))

    def tensors(self, config: GPT2Config, weights: Weights) -> Tensors:
        """The matrices as integers and scales, the rest as it is."""
        stored: dict[str, NDArray[Any]] = {**weights, **self.others}
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
