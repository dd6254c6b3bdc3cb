"""The Keras engine: a GPT2CausalLM as a StepModel, and a model folder as a language model."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
from keras import ops

from kerasgpt import artifacts
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.layers.cache import KVCache
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.protocols import Ids, Logits
from kerasgpt.tokenizer.bpe import Tokenizer

CACHE_COLUMNS = 64  # buffers grow by this many columns at least


@dataclass(frozen=True)
class KerasState:
    """What the Keras engine keeps between steps.

    Attributes:
        cache: of the model, with some free columns.
        mask: int64 (B, C), 0 where a column holds padding.
        lengths: int64 (B,), tokens read so far, which is the next token's position.
    """

    cache: KVCache
    mask: Ids
    lengths: Ids


class KerasStepModel:
    """Runs a GPT2CausalLM step by step; see `kerasgpt.protocols.StepModel`.

    Args:
        model: a model with its weights.
    """

    def __init__(self, model: GPT2CausalLM) -> None:
        self.model = model
        self.vocabulary_size: int = model.config.vocabulary_size
        self.max_sequence_length: int = model.config.max_sequence_length

    def prefill(self, ids: Ids, lengths: Ids) -> tuple[KerasState, Logits]:
        """Read right-padded prompts (B, T) -> the state and the next logits (B, V)."""
        batch, width = ids.shape
        capacity = width + CACHE_COLUMNS
        mask = np.ones((batch, capacity), np.int64)
        mask[:, :width] = np.arange(width) < lengths[:, None]
        cache = self.model.make_cache(batch, capacity)
        hidden, cache = self.model.backbone(ids.astype("int32"), attention_mask=mask, cache=cache)
        last = ops.take_along_axis(hidden, lengths[:, None, None] - 1, axis=1)[:, 0]  # (B, D)
        return KerasState(cache, mask, lengths.copy()), _to_numpy(self.model.head(last))

    def step(self, state: KerasState, ids: Ids) -> tuple[KerasState, Logits]:
        """Read one token a row (B,) -> the state and the next logits (B, V)."""
        if int(state.cache.length) == state.mask.shape[1]:
            state = _grown(state)
        logits, cache = self.model(
            ids[:, None].astype("int32"),
            attention_mask=state.mask,
            position_ids=state.lengths[:, None].astype("int32"),
            cache=state.cache,
        )
        return KerasState(cache, state.mask, state.lengths + 1), _to_numpy(logits[:, 0])

    def reorder(self, state: KerasState, indices: Ids) -> KerasState:
        """Keep the rows `indices`."""
        rows = indices.astype("int32")
        cache = KVCache(
            tuple(ops.take(keys, rows, axis=0) for keys in state.cache.keys),
            tuple(ops.take(values, rows, axis=0) for values in state.cache.values),
            state.cache.length,
        )
        return KerasState(cache, state.mask[indices], state.lengths[indices])

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, (B, T, V)."""
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        return _to_numpy(self.model(ids.astype("int32"), attention_mask=mask.astype("int32")))


def _grown(state: KerasState) -> KerasState:
    room = max(CACHE_COLUMNS, state.mask.shape[1] // 2)
    columns = ((0, 0), (0, 0), (0, room), (0, 0))
    cache = KVCache(
        tuple(ops.pad(keys, columns) for keys in state.cache.keys),
        tuple(ops.pad(values, columns) for values in state.cache.values),
        state.cache.length,
    )
    return replace(state, cache=cache, mask=np.pad(state.mask, ((0, 0), (0, room)), constant_values=1))


def _to_numpy(tensor: object) -> Logits:
    return np.asarray(ops.convert_to_numpy(tensor), np.float32)


def open_model(folder: str | os.PathLike[str]) -> StepLanguageModel:
    """Open a model folder with Keras."""
    model = GPT2CausalLM.from_preset(folder)
    return StepLanguageModel(
        KerasStepModel(model), Tokenizer.from_preset(folder), artifacts.read_generation_config(folder)
    )
