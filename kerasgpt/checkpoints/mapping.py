"""THE name table: a model's variables by the names their arrays have in a Hugging Face checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from kerasgpt.errors import KerasGPTError

if TYPE_CHECKING:
    from kerasgpt.models.gpt2 import GPT2CausalLM

HEAD = "lm_head.weight"

# Causal masks that old versions of transformers saved with the weights.
_STRAY_BUFFER = re.compile(r"h\.\d+\.attn\.(masked_)?bias$")

# GPT-2's layers multiply from the left, (in, out), as Keras's Dense does; only the untied head is
# stored the other way round.
_TRANSPOSED = frozenset({HEAD})


def variables_by_name(model: GPT2CausalLM) -> dict[str, Any]:
    """List every variable of a GPT-2 under its checkpoint name, in reading order."""
    model.build()
    embedding = model.backbone.embedding
    table = {
        "transformer.wte.weight": embedding.token_embedding.embeddings,
        "transformer.wpe.weight": embedding.position_embedding.embeddings,
    }
    for index, block in enumerate(model.backbone.blocks):
        prefix = f"transformer.h.{index}"
        table |= _norm(f"{prefix}.ln_1", block.attention_norm)
        table |= _dense(f"{prefix}.attn.c_attn", block.attention.qkv)
        table |= _dense(f"{prefix}.attn.c_proj", block.attention.output_projection)
        table |= _norm(f"{prefix}.ln_2", block.feed_forward_norm)
        table |= _dense(f"{prefix}.mlp.c_fc", block.feed_forward.expand)
        table |= _dense(f"{prefix}.mlp.c_proj", block.feed_forward.contract)
    table |= _norm("transformer.ln_f", model.backbone.final_norm)
    if not model.config.tie_word_embeddings:
        table[HEAD] = embedding.token_embedding.reverse_embeddings
    return table


def _norm(name: str, layer: Any) -> dict[str, Any]:
    return {f"{name}.weight": layer.gamma, f"{name}.bias": layer.beta}


def _dense(name: str, layer: Any) -> dict[str, Any]:
    return {f"{name}.weight": layer.kernel, f"{name}.bias": layer.bias}


def named_arrays(model: GPT2CausalLM) -> dict[str, NDArray[np.float32]]:
    """Read a model's weights as float32 arrays in checkpoint form."""
    return {
        name: np.ascontiguousarray(_oriented(name, np.asarray(variable.numpy(), np.float32)))
        for name, variable in variables_by_name(model).items()
    }


def assign_arrays(model: GPT2CausalLM, arrays: Mapping[str, NDArray[Any]], source: str) -> None:
    """Set a model's weights from arrays in checkpoint form, bare names (``h.0...``) included.

    Args:
        model: the model to fill.
        arrays: name -> array, of any float type.
        source: where they come from, for the error's sentence.

    Raises:
        KerasGPTError: an array is missing, left over, or of another shape; the model is unchanged.
    """
    given = canonical_names(arrays)
    table = variables_by_name(model)
    if HEAD not in table:
        given.pop(HEAD, None)  # a tied head, written out all the same
    missing, extra = sorted(table.keys() - given.keys()), sorted(given.keys() - table.keys())
    if missing or extra:
        what = f"has no {missing[0]}" if missing else f"holds {extra[0]}, which this model has not"
        raise KerasGPTError(f"{source}: {what} ({len(missing)} missing, {len(extra)} unexpected weights)")
    values = {name: _oriented(name, given[name]) for name in table}
    for name, variable in table.items():
        if values[name].shape != tuple(variable.shape):
            raise KerasGPTError(
                f"{source}: {name} has shape {given[name].shape},"
                f" config.json asks for {_oriented_shape(name, variable)}"
            )
    for name, variable in table.items():
        variable.assign(keras.ops.convert_to_tensor(values[name].astype("float32")))


def canonical_names(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Give bare names their ``transformer.`` prefix, and drop stray mask buffers."""
    return {
        name if name == HEAD or name.startswith("transformer.") else f"transformer.{name}": array
        for name, array in arrays.items()
        if not _STRAY_BUFFER.search(name)
    }


def _oriented(name: str, array: NDArray[Any]) -> NDArray[Any]:
    return array.T if name in _TRANSPOSED else array


def _oriented_shape(name: str, variable: Any) -> tuple[int, ...]:
    shape = tuple(variable.shape)
    return shape[::-1] if name in _TRANSPOSED else shape
