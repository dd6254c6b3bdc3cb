"""A model of mixed precision as one in float32, which is what is exported, once the two answer alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerasgpt.architectures import AnyConfig
from kerasgpt.checkpoints.mapping import assign_arrays, named_arrays
from kerasgpt.errors import KerasGPTError, first_line
from kerasgpt.export.parity import float32_tolerance
from kerasgpt.export.reference import spread_of
from kerasgpt.models.causal_lm import CausalLM, model_class
from kerasgpt.models.language_model import step_model
from kerasgpt.protocols import Ids, Logits

HALF_TOLERANCE = 0.05
"""By how much a logit may differ where the model computes in 16 bits, as a share of the largest: what is
exported is float32."""

_NUM_TOKENS = 64  # of each of two rows that both models read


def in_float32(model: CausalLM) -> CausalLM:
    """A model of the same weights that computes in float32; the model itself where it does.

    Raises:
        KerasGPTError: the model answers otherwise than its weights do in a plain model of its type.
    """
    if model.compute_dtype == "float32":
        if type(model) is not model_class(model.config):  # its call may be another than its parts are used by
            ids = some_ids(model.config)
            lengths = np.full(len(ids), ids.shape[1])
            ours = step_model(model).all_logits(ids, lengths)
            refuse_if_different(type(model).__name__, _answer(model, ids), ours, model.compute_dtype)
        return model
    copy = model_class(model.config)(model.config, dtype="float32")
    assign_arrays(copy, named_arrays(model), type(model).__name__)
    ids = some_ids(model.config)
    refuse_if_different(type(model).__name__, _answer(model, ids), copy(ids), model.compute_dtype)
    return copy


def _answer(model: CausalLM, ids: Ids) -> Any:
    """The logits (B, T, V) that a model's own call gives.

    Raises:
        KerasGPTError: it cannot be called with ids, or gives something else.
    """
    try:
        output = model(ids)
        if isinstance(output, Mapping):
            output = output.get("logits")
        shape = tuple(getattr(output, "shape", ()))
        problem = "" if shape == (*ids.shape, model.config.vocabulary_size) else f"it gives {shape}"
    except Exception as error:  # whatever code of somebody else's raises
        problem = first_line(error)
    if problem:
        name = type(model).__name__
        raise KerasGPTError(
            f"{name}: its call does not map ids (B, T) to logits (B, T, V) ({problem}), so nobody can tell"
            " whether its weights answer as it does: export a plain model that was given its weights"
        )
    return output


def some_ids(config: AnyConfig) -> Ids:
    """Two rows for both models to read, int64 (2, T)."""
    length = min(_NUM_TOKENS, config.max_sequence_length)
    return np.random.default_rng(0).integers(0, config.vocabulary_size, (2, length))


def refuse_if_different(name: str, theirs: Any, ours: Any, dtype: Any) -> None:
    """A layer that was replaced, added or adapted has no place in the table of names: the logits show it.

    Args:
        name: of the model, for the error's sentence.
        theirs: its logits (B, T, V).
        ours: those of its weights in a plain model.
        dtype: in which it computes.

    Raises:
        KerasGPTError: the two differ by more than rounding.
    """
    wanted = _logits(theirs)
    error = float(np.abs(_logits(ours) - wanted).max())
    if keras.backend.standardize_dtype(dtype) == "float32":
        allowed = float32_tolerance(spread_of(wanted, np.full(len(wanted), wanted.shape[1])))
    else:
        allowed = HALF_TOLERANCE * float(np.abs(wanted).max())
    if not error <= allowed:
        raise KerasGPTError(
            f"{name}: its weights in a plain model answer otherwise than it does, a logit differs by"
            f" {error:.1e}: export the model without what was changed in it, or by the writer tf2onnx, which"
            " writes its forward pass"
        )


def _logits(output: Any) -> Logits:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")))
