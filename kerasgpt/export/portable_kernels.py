"""Blocks of integers for a file that every reader opens: embeddings looked up by standard operators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from kerasgpt.config import GPT2Config
from kerasgpt.export.blockwise import Blockwise
from kerasgpt.export.kernels import TOKENS, Kernels, Standard
from kerasgpt.export.onnx_nodes import Graph
from kerasgpt.export.split_head import SplitHead


@dataclass(frozen=True)
class PortableBlockwise(Blockwise):
    """The same, with ``MatMulNBits`` as the only operator of ONNX Runtime's own.

    Its builds for browsers that know WebGPU, which transformers.js takes from version 4 on, have a kernel of
    ``GatherBlockQuantized`` for WebGPU alone, and refuse a graph that holds one on WASM.
    """

    def exact(self, config: GPT2Config) -> Kernels:
        """The same in float32, with these weights, by operators of the standard."""
        return Standard(rounded=self.rounded(config))

    def embedding(self, graph: Graph, config: GPT2Config, ids: str) -> str:
        """A row of blocks each, made float32; the integers are the head's, in its shape."""
        width, bits = config.hidden_dim, self.head_bits or self.bits
        size = self.size(width, bits)
        last = graph.constant("last_axis", [-1])
        integers = graph.add("Gather", f"{TOKENS}.integers", ids)  # (B, T, K / block, block * bits / 8)
        if bits == 4:
            integers = _unpacked(graph, integers, size)
        middle = graph.constant("middle", 2 ** (bits - 1), np.float32)
        centred = graph.add("Sub", graph.add("Cast", integers, to=TensorProto.FLOAT), middle)
        scales = graph.add("Unsqueeze", graph.add("Gather", f"{TOKENS}.scales", ids), last)
        blocks = graph.add("Mul", centred, scales)  # (B, T, K / block, block)
        padded = -(-width // size) * size
        rows = graph.add("Reshape", blocks, graph.constant("embedding_rows", [0, 0, padded]))
        if padded == width:
            return rows
        return graph.add("Slice", rows, graph.constant("first", [0]), graph.constant("width", [width]), last)


@dataclass(frozen=True)
class PortableSplitHead(PortableBlockwise, SplitHead):
    """Likewise, with the head in two parts."""


def _unpacked(graph: Graph, integers: str, size: int) -> str:
    """Two numbers from each byte, the lower half first: (B, T, K / block, block)."""
    pairs = graph.add("Unsqueeze", integers, graph.constant("last_axis", [-1]))
    lower = graph.add("BitwiseAnd", pairs, graph.constant("lower_half", 15, np.uint8))
    upper = graph.add("BitShift", pairs, graph.constant("half_a_byte", 4, np.uint8), direction="RIGHT")
    pairs = graph.add("Concat", lower, upper, axis=-1)  # (B, T, K / block, block / 2, 2)
    return graph.add("Reshape", pairs, graph.constant("block", [0, 0, 0, size]))
