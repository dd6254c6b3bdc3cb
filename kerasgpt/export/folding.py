"""Weights rewritten so that a graph has less to do, and answers the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GPT2Config
from kerasgpt.export.onnx_weights import Weights


def without_means(config: GPT2Config, weights: Weights) -> dict[str, NDArray[np.float32]]:
    """Weights whose residual stream has mean 0, so that its norms need not subtract one.

    A LayerNorm reads x - mean(x), and nothing else reads the stream. So whatever is written to it may be
    written without its mean, and the norm becomes x / sqrt(mean(x^2) + epsilon) * weight (RMSNorm, Zhang
    and Sennrich 2019, arXiv:1910.07467). The bias of a norm moves into that of the projection that
    follows: (n + b) W + c = n W + (b W + c). Exact but for rounding.

    What is left to the graph: to subtract the mean of the token embeddings, whose table is also the head's,
    and the last norm, whose weight and bias stay as they are.

    Args:
        config: of the model.
        weights: float32 arrays by their Hugging Face names; not changed.

    Returns:
        The same names, without the biases of the layers' norms.
    """
    folded = dict(weights)
    folded["transformer.wpe.weight"] = _centred(weights["transformer.wpe.weight"])
    for layer in range(config.num_layers):
        prefix = f"transformer.h.{layer}"
        for norm, reader, writer in (
            ("ln_1", "attn.c_attn", "attn.c_proj"),
            ("ln_2", "mlp.c_fc", "mlp.c_proj"),
        ):
            shift = folded.pop(f"{prefix}.{norm}.bias").astype(np.float64)
            bias, weight = f"{prefix}.{reader}.bias", weights[f"{prefix}.{reader}.weight"]
            folded[bias] = (weights[bias] + shift @ weight).astype(np.float32)
            for part in ("weight", "bias"):
                name = f"{prefix}.{writer}.{part}"
                folded[name] = _centred(weights[name])
    return folded


def without_gains(config: GPT2Config, weights: Weights) -> dict[str, NDArray[np.float32]]:
    """Weights of a model whose layers' norms have neither weight nor bias.

    (n g + b) W + c = n (g W) + (b W + c): each goes into the projection that follows. Exact but for rounding.
    The last norm keeps both, since the head may be the table of the embeddings.

    Args:
        config: of the model.
        weights: float32 arrays by their Hugging Face names, with or without the norms' biases; not changed.

    Returns:
        The same names, without those of the layers' norms.
    """
    folded = dict(weights)
    for layer in range(config.num_layers):
        prefix = f"transformer.h.{layer}"
        for norm, reader in (("ln_1", "attn.c_attn"), ("ln_2", "mlp.c_fc")):
            weight, bias = f"{prefix}.{reader}.weight", f"{prefix}.{reader}.bias"
            gain, shift = folded.pop(f"{prefix}.{norm}.weight"), folded.pop(f"{prefix}.{norm}.bias", None)
            if shift is not None:
                folded[bias] = (weights[bias] + shift.astype(np.float64) @ weights[weight]).astype(np.float32)
            folded[weight] = gain[:, None] * weights[weight]
    return folded


def with_plain_norms(config: GPT2Config, folded: Weights) -> dict[str, NDArray[np.float32]]:
    """The weights `without_gains` for a model whose norms have weights and biases: ones and zeros."""
    ones = np.ones(config.hidden_dim, np.float32)
    gains = {
        f"transformer.h.{layer}.{norm}.weight": ones
        for layer in range(config.num_layers)
        for norm in ("ln_1", "ln_2")
    }
    return {**gains, **with_zero_shifts(config, folded)}


def with_zero_shifts(config: GPT2Config, folded: Weights) -> dict[str, NDArray[np.float32]]:
    """The folded weights for a graph whose norms have a bias: one of zeros."""
    zeros = np.zeros(config.hidden_dim, np.float32)
    shifts = {
        f"transformer.h.{layer}.{norm}.bias": zeros
        for layer in range(config.num_layers)
        for norm in ("ln_1", "ln_2")
    }
    return {**shifts, **folded}


def _centred(array: NDArray[Any]) -> NDArray[np.float32]:
    """Subtract the mean of the last axis."""
    return (array - array.mean(axis=-1, keepdims=True, dtype=np.float64)).astype(np.float32)
