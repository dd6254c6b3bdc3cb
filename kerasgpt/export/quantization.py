"""float32 matrices as blocks of small integers, each block with a scale of its own."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BLOCK_SIZES: Final = (256, 128, 64, 32, 16)  # what ONNX Runtime's kernels take
CHUNK: Final = 2**20  # numbers worked on at a time: the search needs some copies of them

# Shrinking a block's range a little costs its largest number and gains on all the others. With 8 bits
# there is nothing to gain.
SHRINKAGES: Final = {4: (1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.76, 0.72), 8: (1.0,)}


@dataclass(frozen=True)
class Quantized:
    """A matrix of N rows and K columns, as ``MatMulNBits`` and ``GatherBlockQuantized`` read it.

    Attributes:
        packed: uint8 (N, K / block, block * bits / 8), with 4 bits the earlier number in the lower half.
        scales: float32 (N, K / block); a number is (integer - 2^(bits - 1)) * scale.
        bits: 4 or 8.
        num_columns: K; the last block may be filled up with zeros.
    """

    packed: NDArray[np.uint8]
    scales: NDArray[np.float32]
    bits: int
    num_columns: int

    @property
    def block_size(self) -> int:
        """Numbers that share a scale."""
        return self.packed.shape[2] * 8 // self.bits

    def dequantized(self) -> NDArray[np.float32]:
        """The matrix that the integers stand for, float32 (N, K)."""
        integers = self.packed
        if self.bits == 4:
            integers = np.stack([integers & 15, integers >> 4], axis=-1).reshape(*integers.shape[:2], -1)
        centred = integers.astype(np.float32) - np.float32(2 ** (self.bits - 1))
        rows = (centred * self.scales[..., None]).reshape(len(integers), -1)
        return rows[:, : self.num_columns]


def block_size_of(num_columns: int, largest: int = 128) -> int:
    """The largest block, up to a limit, that divides a number of columns; else the smallest there is."""
    fitting = [size for size in BLOCK_SIZES if size <= largest and num_columns % size == 0]
    return fitting[0] if fitting else BLOCK_SIZES[-1]


def quantize(matrix: NDArray[Any], bits: int, block_size: int | None = None) -> Quantized:
    """Round each number to the nearest multiple of its block's scale.

    The scale lets the number of the largest size become the most negative integer, which has no positive
    counterpart. With 4 bits it is the one of a few smaller ones that leaves the least squared error, and
    is then fitted once more to the integers it gave.

    Args:
        matrix: (N, K).
        bits: 4 or 8.
        block_size: one of `BLOCK_SIZES`; None means the largest that divides K, up to 128.

    Returns:
        The matrix in integers.
    """
    num_rows, num_columns = matrix.shape
    size = block_size or block_size_of(num_columns)
    num_blocks = -(-num_columns // size)
    packed = np.empty((num_rows, num_blocks, size * bits // 8), np.uint8)
    scales = np.empty((num_rows, num_blocks), np.float32)
    step = max(CHUNK // (num_blocks * size), 1)

    def work(start: int) -> None:
        rows = slice(start, start + step)
        padded = np.pad(np.asarray(matrix[rows], np.float32), ((0, 0), (0, num_blocks * size - num_columns)))
        integers, scales[rows] = _quantize_blocks(padded.reshape(len(padded), num_blocks, size), bits)
        packed[rows] = pack(integers, bits)

    with ThreadPoolExecutor(os.cpu_count()) as executor:  # numpy works without the interpreter's lock
        list(executor.map(work, range(0, num_rows, step)))
    return Quantized(packed, scales, bits, num_columns)


def pack(integers: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Lay integers (..., block) of so many bits side by side: (..., block * bits / 8)."""
    if bits == 8:
        return integers
    return np.bitwise_or(integers[..., ::2], integers[..., 1::2] << 4, dtype=np.uint8)


def _quantize_blocks(blocks: NDArray[np.float32], bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Integers (..., block) and scales (...) of blocks (..., block)."""
    middle = 2 ** (bits - 1)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(-1)[..., None], axis=-1)
    widest = extreme / -middle
    widest[widest == 0] = 1.0  # a block of zeros
    best, least = widest, np.full(widest.shape, np.inf, np.float32)
    if len(SHRINKAGES[bits]) > 1:
        for shrinkage in SHRINKAGES[bits]:
            scale = widest * np.float32(shrinkage)
            error = np.square(_rounded(blocks, scale, middle) * scale - blocks).sum(-1, keepdims=True)
            best, least = np.where(error < least, scale, best), np.minimum(error, least)
        integers = _rounded(blocks, best, middle)
        energy = np.square(integers).sum(-1, keepdims=True)
        fitted = (blocks * integers).sum(-1, keepdims=True) / np.where(energy == 0, 1, energy)
        best = np.where(fitted == 0, best, fitted)
    integers = _rounded(blocks, best, middle)
    return (integers + middle).astype(np.uint8), best[..., 0]


def _rounded(blocks: NDArray[np.float32], scale: NDArray[np.float32], middle: int) -> NDArray[np.float32]:
    rounded: NDArray[np.float32] = np.clip(np.rint(blocks / scale), -middle, middle - 1)
    return rounded
