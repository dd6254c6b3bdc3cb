"""Rounding that lets the numbers still to be rounded make up for those that were (GPTQ)."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kerasgpt.export.quantization import Quantized, pack, quantize

DAMPING: Final = 0.01  # of the mean square of the inputs, so that rare inputs do not rule
COLUMNS_AT_ONCE: Final = 32  # whose corrections to the columns behind them are added up first
ROWS_AT_ONCE: Final = 1024  # that one thread works on


def gptq(
    matrix: NDArray[Any],
    products: NDArray[np.float64],
    bits: int,
    block_size: int | None = None,
) -> Quantized:
    """Round a matrix W so that W X changes little, X being the inputs it was seen to read.

    The scales are those of `quantize`. Column after column is rounded, and what each loses is taken off the
    columns that follow, in the direction that the inverse of X X^T gives: w_j -= e_i U_ij with
    e_i = (w_i - rounded w_i) / U_ii and U^T U = (X X^T)^-1 (Frantar et al. 2022, arXiv:2210.17323). The
    inputs that are largest on average go first, as long as many columns are left to make up for them.

    Args:
        matrix: (N, K).
        products: X X^T, float64 (K, K), of inputs as columns of X.
        bits: 4 or 8.
        block_size: as in `quantize`.

    Returns:
        The matrix in integers.
    """
    nearest = quantize(matrix, bits, block_size)
    order = np.argsort(-np.diag(products), kind="stable")
    factor = _inverse_factor(products[np.ix_(order, order)])
    columns = np.ascontiguousarray(np.asarray(matrix, np.float32).T[order])  # (K, N)
    scales = nearest.scales.T[order // nearest.block_size]  # (K, N)
    integers = np.empty(columns.shape, np.float32)
    parts = [slice(start, start + ROWS_AT_ONCE) for start in range(0, columns.shape[1], ROWS_AT_ONCE)]

    def work(part: slice) -> None:
        integers[:, part] = _round_columns(columns[:, part].copy(), scales[:, part], factor, bits)

    with ThreadPoolExecutor(os.cpu_count()) as executor:  # numpy works without the interpreter's lock
        list(executor.map(work, parts))
    blocks = np.zeros((nearest.scales.size, nearest.block_size), np.uint8).reshape(len(matrix), -1)
    blocks[:, order] = integers.T + 2 ** (bits - 1)
    packed = pack(blocks.reshape(*nearest.scales.shape, nearest.block_size), bits)
    return replace(nearest, packed=packed)


def _inverse_factor(products: NDArray[np.float64]) -> NDArray[np.float32]:
    """Upper triangular U with U^T U = (products + damping)^-1."""
    damped = products + np.eye(len(products)) * (DAMPING * np.diag(products).mean() or 1.0)
    return np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)


def _round_columns(
    columns: NDArray[np.float32], scales: NDArray[np.float32], factor: NDArray[np.float32], bits: int
) -> NDArray[np.float32]:
    """Integers (K, N) of columns (K, N), which are changed on the way."""
    middle = 2 ** (bits - 1)
    integers = np.empty_like(columns)
    for start in range(0, len(columns), COLUMNS_AT_ONCE):
        stop = min(start + COLUMNS_AT_ONCE, len(columns))
        errors = np.empty_like(columns[start:stop])
        for number in range(start, stop):
            integers[number] = np.clip(np.rint(columns[number] / scales[number]), -middle, middle - 1)
            lost = (columns[number] - integers[number] * scales[number]) / factor[number, number]
            columns[number + 1 : stop] -= factor[number, number + 1 : stop, None] * lost
            errors[number - start] = lost
        columns[stop:] -= factor[start:stop, stop:].T @ errors
    return integers
