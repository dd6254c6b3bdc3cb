"""A recurrent model's ONNX file as a StepModel: its cache is a state of fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.artifacts import PAST_STATE, PRESENT_STATE
from kerasgpt.protocols import Ids, Logits
from kerasgpt.runtime.interface import RECURRENT, require_interface
from kerasgpt.runtime.session import PREFILL_BUDGET, run

State: TypeAlias = dict[str, NDArray[np.float32]]
"""Name of the graph's input -> float32 (1, B, H)."""


class RecurrentOnnxModel:
    """Runs a recurrent graph step by step; see `kerasgpt.protocols.StepModel`.

    A state is never changed, each step makes another. One object, and one state, may serve several threads.

    Args:
        session: of a graph as `kerasgpt.export.recurrent_graph` writes it.
        path: of its file, for an error's sentence.
        max_sequence_length: the most tokens that a text may have, which the graph itself does not tell.

    Raises:
        KerasGPTError: the graph is not one that an export writes.
    """

    def __init__(self, session: Any, path: Path, *, max_sequence_length: int) -> None:
        self.max_sequence_length = max_sequence_length
        self._session = session
        self._path = path
        require_interface(session, path, RECURRENT)
        sizes = {value.name: value.shape for value in session.get_inputs()}
        self._widths = {name: shape[2] for name, shape in sizes.items() if name.startswith(PAST_STATE)}
        self._outputs = ["logits", *(name.replace(PAST_STATE, PRESENT_STATE, 1) for name in self._widths)]
        self.vocabulary_size: int = session.get_outputs()[0].shape[2]

    def prefill(self, ids: Ids, lengths: Ids) -> tuple[State, Logits]:
        """Read right-padded prompts (B, T) -> the state and the next logits (B, V).

        Long prompts are read in pieces, so that the logits nobody asked for never fill the memory. Of a piece
        that a row has nothing in, the row's first token is read, and its state put back.
        """
        batch, width = ids.shape
        state = self._empty(batch)
        last = np.empty((batch, self.vocabulary_size), np.float32)
        size = max(PREFILL_BUDGET // (batch * self.vocabulary_size), 1)
        for start in range(0, width, size):
            counts = np.clip(lengths - start, 0, size)
            logits, new = self._run(ids[:, start : start + size], np.maximum(counts, 1), state)
            reads = counts > 0
            state = {name: np.where(reads[:, None], new[name], state[name]) for name in state}
            last[reads] = logits[reads, counts[reads] - 1]
        return state, last

    def step(self, state: State, ids: Ids) -> tuple[State, Logits]:
        """Read one token a row (B,) -> the state and the next logits (B, V)."""
        logits, state = self._run(ids[:, None], np.ones(len(ids)), state)
        return state, logits[:, 0]

    def reorder(self, state: State, indices: Ids) -> State:
        """Keep the rows `indices`."""
        return {name: vectors[:, indices] for name, vectors in state.items()}

    def join(self, states: Sequence[State]) -> State:
        """Lay rows one after another, in copies."""
        return {name: np.concatenate([state[name] for state in states], axis=1) for name in states[0]}

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, (B, T, V)."""
        return self._run(ids, lengths, self._empty(len(ids)))[0]

    def _empty(self, batch: int) -> State:
        return {name: np.zeros((1, batch, width), np.float32) for name, width in self._widths.items()}

    def _run(self, ids: Ids, lengths: NDArray[Any], state: State) -> tuple[Logits, State]:
        """Run the graph once: logits (B, T, V), and the state after the tokens that count."""
        feeds = {"input_ids": ids.astype(np.int64, copy=False), "lengths": lengths.astype(np.int32)}
        logits, *new = run(self._session, self._path, self._outputs, {**feeds, **state})
        return logits, dict(zip(self._widths, new, strict=True))
