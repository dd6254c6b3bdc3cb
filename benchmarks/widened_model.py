"""A model of a larger one's sizes, and so of its costs, that computes what a small trained one does.

Every number of the small model's residual stream stands in the large one several times, which no norm's mean
and variance can tell; matrices and heads are filled up with zeros, and so are whole layers, which then add
nothing (Net2Net, Chen et al. 2016, arXiv:1511.05641). Ids beyond the small vocabulary have half of another's
row, so that none of them is the most probable.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GPT2Config

Arrays = dict[str, NDArray[np.float32]]


def widened(small: GPT2Config, arrays: Arrays, large: GPT2Config) -> Arrays:
    """The weights of the large model by their Hugging Face names, from those of the small one.

    Raises:
        ValueError: the large one is not large enough, or its width no multiple of the small one's.
    """
    sizes = ("num_layers", "num_heads", "head_dim", "feed_forward_dim", "vocabulary_size")
    short = [name for name in sizes if getattr(large, name) < getattr(small, name)]
    if short or large.hidden_dim % small.hidden_dim:
        raise ValueError(f"the large model is too small, or its width no multiple: {short}")
    times = large.hidden_dim // small.hidden_dim

    def repeated(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([array] * times, axis=-1)

    def filled(array: NDArray[np.float32], *shape: int) -> NDArray[np.float32]:
        return np.pad(array, [(0, full - size) for full, size in zip(shape, array.shape, strict=True)])

    def by_heads(array: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., N H) of the small model -> (..., N H) of the large one."""
        heads = array.reshape(*array.shape[:-1], small.num_heads, small.head_dim)
        heads = filled(heads, *array.shape[:-1], large.num_heads, large.head_dim)
        return heads.reshape(*array.shape[:-1], large.hidden_dim)

    def queries_keys_values(array: NDArray[np.float32]) -> NDArray[np.float32]:
        query, key, value = np.split(array, 3, axis=-1)
        query = query * np.float32(
            (large.head_dim / small.head_dim) ** 0.5
        )  # which the scores are divided by
        return np.concatenate([by_heads(part) for part in (query, key, value)], axis=-1)

    width, inner = large.hidden_dim, large.feed_forward_dim
    table = repeated(arrays["transformer.wte.weight"])
    others = np.arange(large.vocabulary_size - small.vocabulary_size) % small.vocabulary_size
    context = min(small.max_sequence_length, large.max_sequence_length)
    found = {
        "transformer.wte.weight": np.concatenate([table, table[others] / 2]),
        "transformer.wpe.weight": filled(
            repeated(arrays["transformer.wpe.weight"][:context]), large.max_sequence_length, width
        ),
        "transformer.ln_f.weight": repeated(arrays["transformer.ln_f.weight"]) / times,
        "transformer.ln_f.bias": repeated(arrays["transformer.ln_f.bias"]) / times,
    }
    for layer in range(large.num_layers):
        prefix, is_new = f"transformer.h.{layer}.", layer >= small.num_layers
        own = {
            name.removeprefix(f"transformer.h.{0 if is_new else layer}."): np.asarray(array)
            for name, array in arrays.items()
            if name.startswith(f"transformer.h.{0 if is_new else layer}.")
        }
        layers = {
            f"{norm}.{part}": repeated(own[f"{norm}.{part}"])
            for norm in ("ln_1", "ln_2")
            for part in ("weight", "bias")
        }
        layers["attn.c_attn.weight"] = filled(
            queries_keys_values(own["attn.c_attn.weight"]), width, 3 * width
        )
        layers["attn.c_attn.bias"] = queries_keys_values(own["attn.c_attn.bias"])
        layers["attn.c_proj.weight"] = repeated(by_heads(own["attn.c_proj.weight"].T).T)
        layers["attn.c_proj.bias"] = repeated(own["attn.c_proj.bias"])
        layers["mlp.c_fc.weight"] = filled(own["mlp.c_fc.weight"], width, inner)
        layers["mlp.c_fc.bias"] = filled(own["mlp.c_fc.bias"], inner)
        layers["mlp.c_proj.weight"] = repeated(filled(own["mlp.c_proj.weight"], inner, small.hidden_dim))
        layers["mlp.c_proj.bias"] = repeated(own["mlp.c_proj.bias"])
        if is_new:
            layers |= {name: 0 * array for name, array in layers.items() if "c_proj" in name}
        found |= {prefix + name: array for name, array in layers.items()}
    return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}
