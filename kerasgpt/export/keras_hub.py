"""A KerasHub GPT-2 and its tokenizer as what is exported here, once the two models answer alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerasgpt.checkpoints.keras_hub import read_model
from kerasgpt.checkpoints.mapping import assign_arrays
from kerasgpt.errors import UsageError
from kerasgpt.export.float32 import refuse_if_different, some_ids
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer


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
    ids = some_ids(config)
    theirs = model({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    refuse_if_different(type(model).__name__, theirs, converted(ids), model.backbone.compute_dtype)
    return converted, found


def _is_keras_hubs(model: Any) -> bool:
    packages = {kind.__module__.split(".")[0] for kind in type(model).__mro__}
    return not packages.isdisjoint({"keras_hub", "keras_nlp"})


def _ours(tokenizer: Any) -> Tokenizer:
    return tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.from_preset(tokenizer)
