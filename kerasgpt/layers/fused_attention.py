"""Causal attention as one kernel that never writes down its T x T scores, where a GPU has one."""

from __future__ import annotations

import importlib
import os
from typing import Any

import keras
from keras import ops

from kerasgpt.layers.cache import Tensor

HIGHEST_HEAD_DIM = 128
"""Widest heads that cuDNN's kernels take on every GPU that has them."""


def has_fused_attention(dtype: str, head_dim: int) -> bool:
    """Whether `fused_causal_attention` is one kernel here: in half precision on a GPU, by JAX and cuDNN.

    Elsewhere attention in blocks of queries leaves out more of what is hidden and takes less memory. So it
    does where `XLA_FLAGS` asks for the same bits in every run: the kernel's gradient adds in any order, and
    XLA fails to compile it under these flags (seen with JAX 0.11.2).

    Args:
        dtype: in which is computed.
        head_dim: H.

    >>> has_fused_attention("float32", 64)
    False
    """
    if keras.backend.backend() != "jax" or dtype not in ("bfloat16", "float16"):
        return False
    if head_dim % 8 or head_dim > HIGHEST_HEAD_DIM or "deterministic" in os.environ.get("XLA_FLAGS", ""):
        return False
    jax: Any = importlib.import_module("jax")  # the one that Keras has loaded
    generation = str(getattr(jax.devices()[0], "compute_capability", "")).partition(".")[0]
    return jax.default_backend() == "gpu" and generation.isdigit() and int(generation) >= 8  # Ampere


def fused_causal_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """softmax(scale * Q K^T) V over each position and the earlier ones (Dao 2023, arXiv:2307.08691).

    Args:
        query: (B, T, N, H).
        key: (B, T, N, H).
        value: (B, T, N, H).
        scale: factor on the scores.

    Returns:
        (B, T, N, H).
    """
    return ops.dot_product_attention(query, key, value, scale=scale, is_causal=True)
