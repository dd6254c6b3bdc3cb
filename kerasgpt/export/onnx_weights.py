"""The weights an ONNX graph is written with: their names, their shapes, and that they fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError

Weights: TypeAlias = Mapping[str, NDArray[np.float32]]
Shapes: TypeAlias = dict[str, tuple[int, ...]]


def weight_shapes(config: GPT2Config) -> Shapes:
    """The Hugging Face name and the shape of each weight of a model."""
    width, inner = config.hidden_dim, config.feed_forward_dim
    norm: Shapes = {"weight": (width,), "bias": (width,)}

    def linear(rows: int, columns: int) -> Shapes:
        return {"weight": (rows, columns), "bias": (columns,)}

    block = {
        "ln_1": norm,
        "attn.c_attn": linear(width, 3 * width),
        "attn.c_proj": linear(width, width),
        "ln_2": norm,
        "mlp.c_fc": linear(width, inner),
        "mlp.c_proj": linear(inner, width),
    }
    parts: dict[str, Shapes] = {
        "wte": {"weight": (config.vocabulary_size, width)},
        "wpe": {"weight": (config.max_sequence_length, width)},
        **{f"h.{layer}.{name}": part for layer in range(config.num_layers) for name, part in block.items()},
        "ln_f": norm,
    }
    shapes = {
        f"transformer.{part}.{name}": shape for part, sizes in parts.items() for name, shape in sizes.items()
    }
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocabulary_size, width)
    return shapes


def checked_weights(
    config: GPT2Config, weights: Weights, dtype: type[np.floating[Any]] = np.float32
) -> dict[str, NDArray[Any]]:
    """The weights of a graph, each seen to be there and to fit.

    Raises:
        KerasGPTError: a weight is missing, has another shape or a number too large for `dtype`.
    """
    tensors = {}
    for name, shape in weight_shapes(config).items():
        if name not in weights:
            raise KerasGPTError(f"the weights lack {name}: give those of a model of this configuration")
        if weights[name].shape != shape:
            raise KerasGPTError(
                f"{name} has shape {weights[name].shape} and the configuration wants {shape}:"
                f" give the configuration the weights were made with"
            )
        with np.errstate(over="ignore"):
            tensors[name] = np.ascontiguousarray(weights[name], dtype)
        if dtype is np.float16 and not np.isfinite(tensors[name]).all():
            raise KerasGPTError(f"{name} holds numbers beyond 65504, float16's largest: export it in fp32")
    return tensors
