"""Kernels that multiply integers by integers: a scale for each column, and one for all inputs of a matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GPT2Config
from kerasgpt.export.blockwise import Blockwise
from kerasgpt.export.kernels import TABLES, Float32, Kernels, Tensors
from kerasgpt.export.onnx_nodes import MICROSOFT, Graph
from kerasgpt.export.onnx_weights import Weights
from kerasgpt.export.quantization import block_size_of
from kerasgpt.export.smoothing import Range, smoothed

FIRST_LAYER: Final = "transformer.h.0."
SMALLEST_SCALE: Final = 1e-30  # of a block of zeros
MARGIN: Final = 1.15  # by which an input may pass the range it was seen in before it is cut off


@dataclass(frozen=True)
class Projection:
    """One matrix in 8 bits, and how its inputs are rounded.

    Attributes:
        integers: int8 (K, N), from -127 to 127.
        scales: float32 (N,), of each column.
        input_scale: of all inputs.
        input_zero: what an input of 0 becomes, 0 to 255.
    """

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    input_scale: float
    input_zero: int

    @classmethod
    def of(cls, matrix: NDArray[np.float32], inputs: Range) -> Self:
        """Round a matrix (K, N) to the nearest, and give its inputs the range they were seen in."""
        scales = np.abs(matrix).max(axis=0) / np.float32(127)
        scales[scales == 0] = 1
        lowest = min(float(inputs.lowest.min()), 0.0) * MARGIN
        highest = max(float(inputs.highest.max()), 0.0) * MARGIN
        step = (highest - lowest) / 255 or 1.0
        return cls(np.rint(matrix / scales).astype(np.int8), scales, step, round(-lowest / step))


@dataclass(frozen=True)
class StaticInt8(Blockwise):
    """8 bits for the fast graph: projections by integer products, the tables and the first layer in blocks.

    What a matrix reads is rounded to 256 steps that were chosen when the model was exported, so that a
    token's numbers depend neither on its neighbours nor on how many tokens are read at once. Twice as fast
    as blocks where many tokens are read, and as fast for one. The first layer, whose rounding would do half
    of the harm, reads in blocks, each rounded in steps of its own.

    Args:
        projections: by their names.
    """

    bits: int = 8
    projections: Mapping[str, Projection] = field(default_factory=dict)

    @classmethod
    def calibrated(cls, config: GPT2Config, weights: Weights, ranges: Mapping[str, Range]) -> Self:
        """Round a model.

        Args:
            config: of the model.
            weights: as `kerasgpt.export.folding.without_means` leaves them.
            ranges: of the inputs of each projection, by its name.
        """
        smooth, seen = smoothed(config, weights, ranges)
        blocks = cls().quantized(config, smooth)
        projections = {
            name: Projection.of(smooth[name], found) for name, found in seen.items() if name not in blocks
        }
        others = {
            name: array for name, array in smooth.items() if name not in blocks and name not in projections
        }
        return cls(matrices=blocks, projections=projections, others=others)

    def names(self, config: GPT2Config) -> list[str]:
        """The names of what is in blocks."""
        return [name for name in super().names(config) if name in TABLES or name.startswith(FIRST_LAYER)]

    def rounded(self, config: GPT2Config) -> Tensors:
        """The weights that the integers stand for, and those that belong to them."""
        matrices = {
            name: found.integers * found.scales for name, found in self.projections.items()
        }  # (K, N) each
        return {**super().rounded(config), **matrices}

    def tensors(self, config: GPT2Config, weights: Weights) -> Tensors:
        """The matrices as integers and scales, the rest as it belongs to them."""
        stored: dict[str, NDArray[Any]] = dict(super().tensors(config, weights))
        for name, found in self.projections.items():
            stored.pop(name, None)
            stored |= {f"{name}.integers": found.integers, f"{name}.scales": found.scales}
        return stored

    def exact(self, config: GPT2Config) -> Kernels:
        """The same in float32: weights and inputs as the integers have them."""
        return RoundedInputs(rounded=self.rounded(config), projections=self.projections)

    def linear(self, graph: Graph, value: str, prefix: str, shape: tuple[int, int]) -> str:
        """Two operators: the inputs become integers, and are multiplied, bias included; in blocks one."""
        name = f"{prefix}.weight"
        if name not in self.projections:
            return super().linear(graph, value, prefix, shape)
        scale, zero = _steps(graph, name, self.projections[name])
        inputs = graph.add("QuantizeLinear", value, scale, zero)
        return graph.add(
            "MatMulIntegerToFloat",
            inputs,
            f"{name}.integers",
            scale,
            f"{name}.scales",
            zero,
            "",
            f"{prefix}.bias",
            domain=MICROSOFT,
        )


@dataclass(frozen=True)
class RoundedInputs(Float32):
    """Every matrix in float32, and the inputs of the projections rounded to their steps, or in blocks.

    Args:
        projections: by their names.
    """

    projections: Mapping[str, Projection] = field(default_factory=dict)

    def linear(self, graph: Graph, value: str, prefix: str, shape: tuple[int, int]) -> str:
        """A MatMul of inputs that have been integers."""
        if f"{prefix}.weight" not in self.projections:
            return super().linear(graph, _rounded_in_blocks(graph, value, shape[0]), prefix, shape)
        steps = _steps(graph, f"{prefix}.weight", self.projections[f"{prefix}.weight"])
        integers = graph.add("QuantizeLinear", value, *steps)
        return super().linear(graph, graph.add("DequantizeLinear", integers, *steps), prefix, shape)


def _rounded_in_blocks(graph: Graph, value: str, size: int) -> str:
    """Inputs (B, T, K) as ``MatMulNBits`` rounds them: in each block to multiples of its largest over 127."""
    block = block_size_of(size)
    if size % block:
        return value  # its last block is filled up, which a difference within the proof's tolerance can be
    blocks = graph.add("Reshape", value, graph.constant(f"blocks_of_{size}", [0, 0, size // block, block]))
    largest = graph.add("ReduceMax", graph.add("Abs", blocks), graph.constant("last_axis", [-1]), keepdims=1)
    scales = graph.add("Div", largest, graph.constant("largest_integer", 127, np.float32))
    scales = graph.add("Max", scales, graph.constant("smallest_scale", SMALLEST_SCALE, np.float32))
    integers = graph.add("Round", graph.add("Div", blocks, scales))
    return graph.add(
        "Reshape", graph.add("Mul", integers, scales), graph.constant(f"row_{size}", [0, 0, size])
    )


def _steps(graph: Graph, name: str, projection: Projection) -> tuple[str, str]:
    """The scale and the zero of a matrix's inputs."""
    scale = graph.constant(f"{name}.input_scale", projection.input_scale, np.float32)
    return scale, graph.constant(f"{name}.input_zero", projection.input_zero, np.uint8)
