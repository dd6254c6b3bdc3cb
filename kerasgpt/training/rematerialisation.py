"""Gradient checkpointing: a block's activations are computed again in the backward pass and not kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kerasgpt.errors import UsageError
from kerasgpt.extras import require
from kerasgpt.models.gpt2 import GPT2CausalLM


def checkpoint_gradients(model: GPT2CausalLM) -> None:
    """Let each block of a built model keep only its input (Chen et al. 2016, arXiv:1604.06174).

    Raises:
        UsageError: the backend is not JAX; Keras's own way of doing this fails in `fit` on TensorFlow.
    """
    backend = keras.backend.backend()
    if backend != "jax":
        raise UsageError(
            f"train.gradient_checkpointing does not work on {backend}: train with KERAS_BACKEND=jax, or with"
            " a smaller train.batch_size and more train.accumulation_steps"
        )
    for block in model.backbone.blocks:
        block.call = _recomputed(block)  # type: ignore[method-assign]  # of this one block, for good


def _recomputed(block: keras.layers.Layer) -> Callable[..., Any]:
    """The block's call as a function of its variables too, which `jax.checkpoint` can run twice.

    What dropout changes, its seeds, comes out as a result; an assignment inside would be lost.
    """
    plain = block.call
    jax: Any = require("jax", "jax", "gradient checkpointing")

    def call(hidden: Any, mask: Any, cache: Any = None, start: Any = None, training: Any = None) -> Any:
        if cache is not None or not training:
            return plain(hidden, mask, cache=cache, start=start, training=training)
        trained, others = block.trainable_variables, block.non_trainable_variables

        def run(values: Any, hidden: Any, mask: Any) -> Any:
            mapping = zip([*trained, *others], values, strict=True)
            with keras.StatelessScope(state_mapping=list(mapping)) as scope:
                refined, _ = plain(hidden, mask, training=True)
            return refined, [scope.get_current_value(variable) for variable in others]

        values = [variable.value for variable in (*trained, *others)]
        refined, changed = jax.checkpoint(run)(values, hidden, mask)
        for variable, value in zip(others, changed, strict=True):
            variable.assign(value)
        return refined, (None, None)

    return call
