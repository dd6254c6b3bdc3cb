"""Weights that stay as they are: chosen by patterns over their names in model.safetensors."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from kerasgpt.checkpoints.mapping import variables_by_name
from kerasgpt.errors import UsageError, unknown_name
from kerasgpt.models.causal_lm import CausalLM

PREFIX = "transformer."


def freeze(model: CausalLM, patterns: Sequence[str]) -> None:
    """Make the weights that any pattern fits untrainable.

    Args:
        model: built, and not compiled yet.
        patterns: with ``*``, ``?`` and ``[0-5]`` as a shell has them, over names such as ``wte.weight`` and
            ``h.0.attn.c_attn.weight``.

    Raises:
        UsageError: a pattern fits no weight, or all are frozen.
    """
    variables = {name.removeprefix(PREFIX): value for name, value in variables_by_name(model).items()}
    for pattern in patterns:
        names = [name for name in variables if fnmatchcase(name, pattern.removeprefix(PREFIX))]
        if not names:
            raise unknown_name("weight in train.freeze", pattern, variables)
        for name in names:
            variables[name].trainable = False
    if not model.trainable_variables:
        raise UsageError(f"train.freeze {list(patterns)} leaves nothing to train: take a pattern away")
