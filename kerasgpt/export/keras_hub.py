"""A KerasHub GPT-2 and its tokenizer as what is exported here, once the two models answer alike."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerasgpt.checkpoints.keras_hub import read_model
from kerasgpt.checkpoints.mapping import assign_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.protocols import Ids, Logits
from kerasgpt.tokenizer.bpe import Tokenizer

TOLERANCE = 1e-4
"""The most by which a logit may differ where KerasHub computes in float32."""

HALF_TOLERANCE = 0.05
"""The same where it computes in 16 bits, as a share of the largest logit: what is exported is float32."""

_NUM_TOKENS = 64  # of each of two rows that both models read


def ours(model: Any, tokenizer: Any) -> tuple[Any, Tokenizer]:
    """Turn KerasHub's objects into this package's; any other model is returned as it is.

    Args:
        model: a KerasHub ``GPT2CausalLM``, or a model of another kind.
        tokenizer: a Tokenizer or KerasHub's; None means the one that the model's preprocessor holds.

    Returns:
        The model, in float32 whatever KerasHub's dtype, with the context of its backbone, and the tokenizer.

    Raises:
        UsageError: KerasHub's model is no GPT-2, or there is no tokenizer.
        KerasGPTError: the model answers otherwise than its weights do in a GPT-2.
    """
    if not _is_keras_hubs(model):
        if tokenizer is None:
            raise UsageError("no tokenizer: give the one that the model was trained with")
        return model, _ours(tokenizer)
    if "GPT2CausalLM" not in {kind.__name__ for kind in type(model).__mro__}:
        raise UsageError(
            f"{type(model).__name__} of KerasHub is no GPT-2 that writes text: give its GPT2CausalLM"
        )
    found = _ours(model if tokenizer is None else tokenizer)
    config, arrays = read_model(model)
    converted = GPT2CausalLM(config, dtype="float32")
    assign_arrays(converted, arrays, type(model).__name__)
    converted.build()
    _refuse_if_different(model, converted)
    return converted, found


def _is_keras_hubs(model: Any) -> bool:
    packages = {kind.__module__.split(".")[0] for kind in type(model).__mro__}
    return not packages.isdisjoint({"keras_hub", "keras_nlp"})


def _ours(tokenizer: Any) -> Tokenizer:
    return tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.from_preset(tokenizer)


def _refuse_if_different(theirs: Any, converted: GPT2CausalLM) -> None:
    """A layer that was replaced, added or adapted has no place in the table of names: the logits show it."""
    ids = _some_ids(converted.config)
    wanted = _logits(theirs({"token_ids": ids, "padding_mask": np.ones_like(ids)}))
    error = float(np.abs(_logits(converted(ids)) - wanted).max())
    is_half = keras.backend.standardize_dtype(theirs.backbone.compute_dtype) != "float32"
    allowed = HALF_TOLERANCE * float(np.abs(wanted).max()) if is_half else TOLERANCE
    if not error <= allowed:
        raise KerasGPTError(
            f"{type(theirs).__name__}: its weights in a plain GPT-2 answer otherwise than it does, a logit"
            f" differs by {error:.1e}: export the model without what was changed in it"
        )


def _some_ids(config: GPT2Config) -> Ids:
    length = min(_NUM_TOKENS, config.max_sequence_length)
    return np.random.default_rng(0).integers(0, config.vocabulary_size, (2, length))


def _logits(output: Any) -> Logits:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")))
