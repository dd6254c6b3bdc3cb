"""The Keras engine: a GPT2CausalLM as a StepModel, and a model folder as a language model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from keras import KerasTensor, ops
from numpy.typing import NDArray

from kerasgpt import artifacts
from kerasgpt.architectures import architecture_of
from kerasgpt.engines import resolve
from kerasgpt.errors import UsageError
from kerasgpt.generation.columns import counting_columns, packed, packed_mask
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.soft_prompt import read_soft_prompt, with_soft_prompt
from kerasgpt.layers.cache import KVCache, Tensor, cache_like
from kerasgpt.models.causal_lm import CausalLM, load_model
from kerasgpt.models.compiled import compiled
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.protocols import Ids, Logits, StepModel, Vectors
from kerasgpt.tokenizer.bpe import Tokenizer

CACHE_COLUMNS = 64  # buffers grow by this many columns at least


@dataclass(frozen=True)
class KerasState:
    """What the Keras engine keeps between steps.

    Attributes:
        cache: of the model, with some free columns.
        mask: int32 (B, C), 0 where a column holds padding.
        lengths: int64 (B,), tokens read so far, which is the next token's position.
    """

    cache: KVCache
    mask: NDArray[np.int32]
    lengths: Ids


class KerasStepModel:
    """Runs a GPT2CausalLM step by step; see `kerasgpt.protocols.StepModel`.

    Args:
        model: a model with its weights.
    """

    def __init__(self, model: GPT2CausalLM) -> None:
        self.model = model
        self.hidden_dim: int = model.config.hidden_dim
        self.vocabulary_size: int = model.config.vocabulary_size
        self.max_sequence_length: int = model.config.max_sequence_length
        model.build()
        rows, columns = KerasTensor((None,), "int32"), KerasTensor((None, None), "int32")
        cache = cache_like(model.make_cache(1, 1))
        self._read = compiled(self._new_logits, model.variables, columns, columns, rows, columns, cache)
        self._read_all = compiled(self._all_logits, model.variables, columns, columns)
        vectors = KerasTensor((None, None, self.hidden_dim), "float32")
        self._read_vectors = compiled(
            self._new_logits, model.variables, vectors, columns, rows, columns, cache
        )
        self._read_all_vectors = compiled(self._all_logits, model.variables, vectors, columns)

    def embed(self, ids: Ids) -> Vectors:
        """The vectors of tokens: int64 (B, T) -> float32 (B, T, D), without their positions."""
        return _to_numpy(self.model.backbone.embedding.token_embedding(*_int32(ids)))

    def prefill(self, ids: Ids | Vectors, lengths: Ids) -> tuple[KerasState, Logits]:
        """Read right-padded prompts (B, T), or vectors (B, T, D) -> the state and the next logits (B, V)."""
        batch, width = ids.shape[:2]
        mask = np.ones((batch, width + CACHE_COLUMNS), np.int32)
        mask[:, :width] = np.arange(width) < lengths[:, None]
        cache = self.model.make_cache(batch, mask.shape[1])
        positions = np.broadcast_to(np.arange(width), (batch, width))
        reads, read = self._reader(ids, self._read, self._read_vectors)
        logits, cache = read(reads, *_int32(positions, lengths - 1), mask, cache)
        return KerasState(cache, mask, lengths.copy()), _to_numpy(logits)

    def step(self, state: KerasState, ids: Ids) -> tuple[KerasState, Logits]:
        """Read one token a row (B,) -> the state and the next logits (B, V)."""
        if int(state.cache.length) == state.mask.shape[1]:
            state = _grown(state)
        columns = _int32(ids[:, None], state.lengths[:, None], np.zeros_like(ids))
        logits, cache = self._read(*columns, state.mask, state.cache)
        return KerasState(cache, state.mask, state.lengths + 1), _to_numpy(logits)

    def _new_logits(
        self, ids: Tensor, positions: Tensor, last: Tensor, mask: Tensor, cache: KVCache
    ) -> tuple[Tensor, KVCache]:
        """Read new tokens (B, T), of which each row's number `last` is followed by the logits (B, V)."""
        hidden, cache = self.model.backbone(
            **_named(ids), attention_mask=mask, position_ids=positions, cache=cache
        )
        hidden = ops.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]  # (B, D)
        return self.model.head(hidden), cache

    def reorder(self, state: KerasState, indices: Ids) -> KerasState:
        """Keep the rows `indices`."""
        rows = indices.astype("int32")
        cache = KVCache(
            tuple(ops.take(keys, rows, axis=0) for keys in state.cache.keys),
            tuple(ops.take(values, rows, axis=0) for values in state.cache.values),
            state.cache.length,
        )
        return KerasState(cache, state.mask[indices], state.lengths[indices])

    def join(self, states: Sequence[KerasState]) -> KerasState:
        """Lay rows one after another, in copies."""
        columns = counting_columns([state.mask[:, : int(state.cache.length)] for state in states])

        def joint(parts: Iterable[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
            layers = zip(*parts, strict=True)
            return tuple(
                ops.convert_to_tensor(packed([ops.convert_to_numpy(part) for part in layer], columns))
                for layer in layers
            )

        mask = packed_mask(columns).astype(np.int32)
        cache = KVCache(
            joint(state.cache.keys for state in states),
            joint(state.cache.values for state in states),
            ops.convert_to_tensor(mask.shape[1], dtype="int32"),
        )
        return KerasState(cache, mask, np.concatenate([state.lengths for state in states]))

    def all_logits(self, ids: Ids | Vectors, lengths: Ids) -> Logits:
        """Logits at every position, (B, T, V)."""
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        reads, read = self._reader(ids, self._read_all, self._read_all_vectors)
        return _to_numpy(read(reads, *_int32(mask)))

    def _all_logits(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.head(self.model.backbone(**_named(ids), attention_mask=mask))

    def _reader(
        self, ids: Ids | Vectors, of_ids: Callable[..., Any], of_vectors: Callable[..., Any]
    ) -> tuple[NDArray[Any], Callable[..., Any]]:
        """What is to be read, as the function for it takes it, and that function."""
        if ids.ndim == 2:
            return ids.astype(np.int32), of_ids
        if ids.ndim != 3 or ids.shape[2] != self.hidden_dim:
            raise UsageError(
                f"vectors of shape {ids.shape}: the model reads (batch, tokens, {self.hidden_dim})"
            )
        return ids.astype(np.float32), of_vectors


def _named(reads: Tensor) -> dict[str, Tensor]:
    """What the forward pass calls ids (B, T), or vectors (B, T, D)."""
    return {"token_ids" if len(reads.shape) == 2 else "inputs_embeds": reads}


def _grown(state: KerasState) -> KerasState:
    room = max(CACHE_COLUMNS, state.mask.shape[1] // 2)
    columns = ((0, 0), (0, 0), (0, room), (0, 0))
    cache = KVCache(
        tuple(ops.pad(keys, columns) for keys in state.cache.keys),
        tuple(ops.pad(values, columns) for values in state.cache.values),
        state.cache.length,
    )
    return replace(state, cache=cache, mask=np.pad(state.mask, ((0, 0), (0, room)), constant_values=1))


def _int32(*arrays: NDArray[Any]) -> list[NDArray[np.int32]]:
    return [array.astype(np.int32) for array in arrays]


def _to_numpy(tensor: object) -> Logits:
    return np.asarray(ops.convert_to_numpy(tensor), np.float32)


def step_model(model: CausalLM) -> StepModel:
    """The engine that runs a Keras model of whatever architecture."""
    found: StepModel = resolve(architecture_of(model.config).steps)(model)
    return found


def open_model(folder: str | os.PathLike[str]) -> StepLanguageModel:
    """Open a model folder with Keras, behind the soft prompt that lies in it if there is one."""
    lm = StepLanguageModel(
        step_model(load_model(folder, "float32")),  # whatever the policy of the process is
        Tokenizer.from_preset(folder),
        artifacts.read_generation_config(folder),
    )
    prompt = Path(folder) / artifacts.SOFT_PROMPT
    return with_soft_prompt(lm, read_soft_prompt(prompt)) if prompt.is_dir() else lm
