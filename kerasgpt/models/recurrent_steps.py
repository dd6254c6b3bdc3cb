"""The Keras engine of recurrent models: a state of fixed size, read and written by each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import KerasTensor, ops

from kerasgpt.layers.cache import Tensor
from kerasgpt.models.compiled import compiled
from kerasgpt.models.recurrent import RecurrentCausalLM, State
from kerasgpt.protocols import Ids, Logits


class RecurrentStepModel:
    """Runs a recurrent model step by step; see `kerasgpt.protocols.StepModel`.

    Args:
        model: a model with its weights.
    """

    def __init__(self, model: RecurrentCausalLM) -> None:
        self.model = model
        self.vocabulary_size: int = model.config.vocabulary_size
        self.max_sequence_length: int = model.config.max_sequence_length
        model.build()
        columns, row = KerasTensor((None, None), "int32"), KerasTensor((None,), "int32")
        vector = KerasTensor((None, model.config.hidden_dim), model.compute_dtype)
        state = (tuple(vector for _ in model.config.states),) * model.config.num_layers
        self._read = compiled(self._prompts, model.variables, columns, columns, row)
        self._read_next = compiled(self._next, model.variables, columns, state)
        self._read_all = compiled(model.call, model.variables, columns)

    def prefill(self, ids: Ids, lengths: Ids) -> tuple[State, Logits]:
        """Read right-padded prompts (B, T) -> the state and the next logits (B, V)."""
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        logits, state = self._read(
            ids.astype(np.int32), mask.astype(np.int32), (lengths - 1).astype(np.int32)
        )
        return state, _to_numpy(logits)

    def step(self, state: State, ids: Ids) -> tuple[State, Logits]:
        """Read one token a row (B,) -> the state and the next logits (B, V)."""
        logits, state = self._read_next(ids[:, None].astype(np.int32), state)
        return state, _to_numpy(logits)

    def _prompts(self, ids: Tensor, mask: Tensor, last: Tensor) -> tuple[Tensor, State]:
        hidden, state = self.model.read(ids, mask, self.model.make_cache(ops.shape(ids)[0]))
        hidden = ops.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]  # (B, H)
        return self.model.head(hidden), state

    def _next(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, state = self.model.read(ids, None, state)
        return self.model.head(hidden[:, 0]), state

    def reorder(self, state: State, indices: Ids) -> State:
        """Keep the rows `indices`."""
        rows = indices.astype(np.int32)
        return tuple(tuple(ops.take(vector, rows, axis=0) for vector in layer) for layer in state)

    def join(self, states: Sequence[State]) -> State:
        """Lay rows one after another, in copies."""
        layers = zip(*states, strict=True)
        return tuple(tuple(ops.concatenate(parts) for parts in zip(*layer, strict=True)) for layer in layers)

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, (B, T, V); padding is later than what counts, and so unseen."""
        return _to_numpy(self._read_all(ids.astype(np.int32)))


def _to_numpy(tensor: Any) -> Logits:
    return np.asarray(ops.convert_to_numpy(tensor), np.float32)
