"""Weights rewritten so that what they multiply is easy to round: no input far larger than the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GPT2Config
from kerasgpt.export.onnx_weights import Weights

STRENGTH: Final = 0.6  # 1 makes all inputs of a matrix equally large, 0 all its rows
SMALLEST: Final = 1e-6  # an input that never was larger counts as this


@dataclass(frozen=True)
class Range:
    """Between what numbers the inputs of a matrix were seen to lie, each float32 (K,)."""

    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]


def smoothed(
    config: GPT2Config, weights: Weights, ranges: Mapping[str, Range]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, Range]]:
    """Divide the inputs of a matrix by factors of their own, and multiply its rows by them.

    The factor of input k is max|x_k|^a / max|w_k|^(1 - a), so that the difficulty of rounding is shared
    between the two (SmoothQuant, Xiao et al. 2022, arXiv:2211.10438). Whatever writes the input is divided:
    the weight of a norm without bias, or the values of the attention. What reads the activation stays as
    it is, there being nothing linear before it. The model answers the same.

    Args:
        config: of the model.
        weights: as `kerasgpt.export.folding.without_means` leaves them; not changed.
        ranges: of the inputs of each projection, by its name.

    Returns:
        The weights, and the ranges that belong to them.
    """
    changed, seen = dict(weights), dict(ranges)
    for layer in range(config.num_layers):
        prefix = f"transformer.h.{layer}"
        for norm, reader in (("ln_1", "attn.c_attn"), ("ln_2", "mlp.c_fc")):
            factors = _rescale(changed, seen, f"{prefix}.{reader}.weight")
            changed[f"{prefix}.{norm}.weight"] = changed[f"{prefix}.{norm}.weight"] / factors
        factors = _rescale(changed, seen, f"{prefix}.attn.c_proj.weight")
        divisors = np.concatenate([np.ones(2 * config.hidden_dim, np.float32), factors])  # of q, k and v
        for part in ("weight", "bias"):
            name = f"{prefix}.attn.c_attn.{part}"
            changed[name] = changed[name] / divisors
            # What c_attn reads has not changed, so its own range stands.
    return changed, seen


def _rescale(
    weights: dict[str, NDArray[np.float32]], ranges: dict[str, Range], name: str
) -> NDArray[np.float32]:
    """Multiply a matrix's rows, divide its inputs' range; the factors, (K,), of geometric mean 1."""
    lowest, highest = ranges[name].lowest, ranges[name].highest
    inputs = np.maximum(np.maximum(-lowest, highest), SMALLEST)
    rows = np.maximum(np.abs(weights[name]).max(axis=1), SMALLEST)
    logs = STRENGTH * np.log(inputs) - (1 - STRENGTH) * np.log(rows)
    factors: NDArray[np.float32] = np.exp(logs - logs.mean()).astype(np.float32)
    weights[name] = weights[name] * factors[:, None]
    ranges[name] = Range(lowest / factors, highest / factors)
    return factors
