"""A fused graph as a StepModel: the cache stays where it is, and each step writes one column of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from kerasgpt.artifacts import LOGIT_OFFSETS
from kerasgpt.errors import UsageError
from kerasgpt.protocols import Ids, Logits
from kerasgpt.runtime.cache import SPARE_COLUMNS, Cache
from kerasgpt.runtime.interface import CACHED, require_interface
from kerasgpt.runtime.session import SILENTLY, run_failed

PREFILL_TOKENS: Final = 2048  # read at once: attention's scores are rows x heads x tokens x tokens


@dataclass(frozen=True)
class FusedState:
    """What the engine keeps between steps.

    Attributes:
        cache: whose row i begins with ``lengths[i]`` columns that count; shared with later states.
        lengths: int64 (B,), tokens read so far, which is the next token's position.
    """

    cache: Cache
    lengths: Ids


class FusedStepModel:
    """Runs a fused graph step by step; see `kerasgpt.protocols.StepModel`.

    A step costs no memory and copies none: the cache is bound to the graph as its past and as its present,
    and grows by doubling, in columns and in rows. A state may be stepped from more than once; that copies
    the cache. `reorder` and `join` write to it in place, and so use up the states that share it. One object
    may serve several threads, a state only one at a time.

    Args:
        session: of a graph as `kerasgpt.export.fused_graph` writes it.
        path: of its file, for an error's sentence.
        max_sequence_length: the context, in tokens, which the graph itself does not tell.

    Raises:
        KerasGPTError: the graph is not one that an export writes.
    """

    def __init__(self, session: Any, path: Path, *, max_sequence_length: int) -> None:
        self.max_sequence_length = max_sequence_length
        self._session = session
        self._path = path
        require_interface(session, path, CACHED)
        shapes = {value.name: value.shape for value in session.get_inputs()}
        caches = [shape for name, shape in shapes.items() if name.startswith("past_key_values.")]
        self._num_layers, (_, self._num_heads, _, self._head_dim) = len(caches) // 2, caches[0]
        logits = next(output for output in session.get_outputs() if output.name == "logits")
        self.vocabulary_size: int = logits.shape[2]

    def prefill(self, ids: Ids, lengths: Ids) -> tuple[FusedState, Logits]:
        """Read right-padded prompts (B, T) -> the state and the next logits (B, V)."""
        batch, width = ids.shape
        cache = self._new_cache(batch, min(width + SPARE_COLUMNS, self.max_sequence_length))
        logits = np.empty((batch, 1, self.vocabulary_size), np.float32)
        self._read(ids, lengths, cache, logits, np.zeros(1, np.int64))
        return self._state(cache, lengths.astype(np.int64)), logits[:, 0]

    def step(self, state: FusedState, ids: Ids) -> tuple[FusedState, Logits]:
        """Read one token a row (B,) -> the state and the next logits (B, V).

        Raises:
            UsageError: a row has filled the context.
        """
        state, logits = self._read_on(state, ids[:, None], 1)
        return state, logits[:, 0]

    def extend(self, state: FusedState, ids: Ids, num_logits: int | None = None) -> tuple[FusedState, Logits]:
        """Read several tokens of one row (1, T) -> the state and the logits after the last K, (1, K, V).

        Raises:
            UsageError: they do not fit into the context, or there are more rows, for which the fused
                attention reads one token at a time.
        """
        if len(ids) > 1 and ids.shape[1] > 1:
            raise UsageError(
                f"{len(ids)} rows cannot be extended by several tokens at once: do so one by one"
            )
        return self._read_on(state, ids, num_logits or ids.shape[1])

    def rewind(self, state: FusedState, num_tokens: int) -> FusedState:
        """Forget the last tokens: their columns stay, and are written over."""
        if not num_tokens:
            return state
        lengths = state.lengths - num_tokens
        if state.cache.newest is state.lengths:
            return self._state(state.cache, lengths)
        return FusedState(state.cache, lengths)

    def snapshot(self, state: FusedState, row: int, num_tokens: int) -> FusedState:
        """The first tokens of one row, in memory of their own."""
        # No state is the newest of this cache, so that whoever reads on copies it first.
        copy = self._copy(state.cache, slice(row, row + 1), num_tokens, num_tokens)
        return FusedState(copy, np.array([num_tokens]))

    def _read_on(self, state: FusedState, ids: Ids, num_logits: int) -> tuple[FusedState, Logits]:
        """Read tokens (B, T) after a state, with the logits after the last K, (B, K, V)."""
        batch, width = ids.shape
        lengths = state.lengths + width
        longest = int(lengths.max())
        if longest > self.max_sequence_length:
            raise UsageError(
                f"the text fills the context of {self.max_sequence_length} tokens: nothing fits on"
            )
        cache = self._writable(state, longest)
        mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)  # (B, S)
        positions = state.lengths[:, None] + np.arange(width)
        logits = np.empty((batch, num_logits, self.vocabulary_size), np.float32)
        self._run(cache, ids, mask, positions, logits, np.arange(1 - num_logits, 1))
        return self._state(cache, lengths), logits

    def reorder(self, state: FusedState, indices: Ids) -> FusedState:
        """Keep the rows `indices`: in place, where those that move do so into the place of a dropped one."""
        cache, lengths, count = state.cache, state.lengths[indices], len(indices)
        moved = np.flatnonzero(indices != np.arange(count))
        in_place = cache.newest is state.lengths and count <= len(state.lengths)
        if in_place and (indices[moved] >= count).all():
            for place in moved.tolist():
                row = int(indices[place])
                cache.write(slice(place, place + 1), cache, slice(row, row + 1), int(lengths[place]))
            return self._state(self._rebound(cache, count), lengths)
        return self._state(self._copy(cache, indices, int(lengths.max()), cache.capacity), lengths)

    def join(self, states: Sequence[FusedState]) -> FusedState:
        """Lay rows one after another, in the memory of the first if they have room there."""
        first, num_rows = states[0], sum(len(state.lengths) for state in states)
        lengths = np.concatenate([state.lengths for state in states])
        cache, longest = first.cache, int(lengths.max())
        is_ours = cache.newest is first.lengths
        if is_ours and num_rows <= cache.num_places and longest <= cache.capacity:
            joint, start = self._rebound(cache, num_rows), len(first.lengths)
        else:
            capacity = max(max(state.cache.capacity for state in states), longest)
            places = 2 * cache.num_places if is_ours and cache.num_places < num_rows else cache.num_places
            joint, start = cache.like(self._session, num_rows, capacity, places), 0
        place = 0
        for state in states:
            end = place + len(state.lengths)
            if place >= start:
                joint.write(slice(place, end), state.cache, slice(None), int(state.lengths.max()))
            place = end
        return self._state(joint, lengths)

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, (B, T, V)."""
        batch, width = ids.shape
        logits = np.empty((batch, width, self.vocabulary_size), np.float32)
        # Padding is later than what counts and so unseen; read along, it leaves the rows as they lie.
        whole = np.full(batch, width)
        self._read(ids, whole, self._new_cache(batch, width), logits, np.arange(1 - width, 1))
        return logits

    def _new_cache(self, batch: int, capacity: int) -> Cache:
        shape = (self._num_layers, batch, self._num_heads, capacity, self._head_dim)
        return Cache.empty(self._session, shape)

    def _rebound(self, cache: Cache, num_rows: int) -> Cache:
        """The same memory with other rows in use."""
        if num_rows == len(cache.newest):
            return cache
        cache.newest = np.zeros(0, np.int64)  # whoever still has a state of it writes elsewhere
        return cache.rows(self._session, 0, num_rows)

    def _copy(
        self, cache: Cache, rows: slice | Ids, num_columns: int, capacity: int, num_places: int = 0
    ) -> Cache:
        """The first columns of some rows, in memory of their own."""
        num_rows = len(np.arange(len(cache.arrays[0]))[rows])
        copy = cache.like(self._session, num_rows, capacity, num_places)
        copy.write(slice(None), cache, rows, num_columns)
        return copy

    def _state(self, cache: Cache, lengths: Ids) -> FusedState:
        cache.newest = lengths
        return FusedState(cache, lengths)

    def _writable(self, state: FusedState, num_columns: int) -> Cache:
        """The state's cache with so many columns, which no other state has written to."""
        cache = state.cache
        if cache.newest is state.lengths and num_columns <= cache.capacity:
            return cache
        room = cache.capacity if num_columns <= cache.capacity else max(2 * cache.capacity, num_columns)
        room = min(room, self.max_sequence_length)
        return self._copy(cache, slice(None), int(state.lengths.max()), room, cache.num_places)

    def _read(self, ids: Ids, lengths: Ids, cache: Cache, logits: Logits, offsets: Ids) -> None:
        """Read prompts, some rows at a time, into a cache that is empty, and their logits (B, K, V)."""
        batch, width = ids.shape
        size = max(PREFILL_TOKENS // width, 1)
        for start in range(0, batch, size):
            rows = slice(start, start + size)
            part = cache if size >= batch else cache.rows(self._session, start, min(start + size, batch))
            longest = int(lengths[rows].max())
            mask = (np.arange(longest) < lengths[rows, None]).astype(np.int64)
            positions = np.broadcast_to(np.arange(longest), mask.shape)
            self._run(part, ids[rows, :longest], mask, positions, logits[rows], offsets)

    def _run(self, cache: Cache, ids: Ids, mask: Ids, positions: Ids, logits: Logits, offsets: Ids) -> None:
        """Run the graph once; it writes to the cache and to `logits`."""
        feeds = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, LOGIT_OFFSETS: offsets}
        for name, values in feeds.items():
            cache.feed(name, values)
        if len(offsets) == 1:
            cache.binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
            self._run_bound(cache)
        else:  # the graph declares one position, and ONNX Runtime refuses memory for more
            cache.binding.bind_output("logits")
            self._run_bound(cache)
            logits[...] = cache.binding.get_outputs()[-1].numpy()  # bound after the caches

    def _run_bound(self, cache: Cache) -> None:
        try:
            self._session.run_with_iobinding(cache.binding, SILENTLY)
        except Exception as error:  # ONNX Runtime's have no common base but this
            raise run_failed(self._path, error) from error
