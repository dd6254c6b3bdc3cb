"""An ONNX graph of the forward pass alone: it scores texts, and cannot write any."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from kerasgpt.errors import UsageError
from kerasgpt.protocols import Ids, Logits
from kerasgpt.runtime.interface import FORWARD, require_interface
from kerasgpt.runtime.session import run


class ForwardModel:
    """Runs a graph from ids to logits, without a cache; see `kerasgpt.protocols.StepModel`.

    Args:
        session: of a graph as `kerasgpt.export.forward` writes it.
        path: of its file, for an error's sentence.
        max_sequence_length: the context, in tokens, which the graph itself does not tell.
    """

    def __init__(self, session: Any, path: Path, *, max_sequence_length: int) -> None:
        self.max_sequence_length = max_sequence_length
        self._session = session
        self._path = path
        require_interface(session, path, FORWARD)
        self.vocabulary_size: int = session.get_outputs()[0].shape[2]

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, (B, T, V); padding is later than what counts, and so unseen."""
        feeds = {"input_ids": ids.astype(np.int64, copy=False)}
        logits: Logits = run(self._session, self._path, ["logits"], feeds)[0]
        return logits

    def prefill(self, ids: Ids, lengths: Ids) -> NoReturn:
        """Refuse: there is no cache to write on with.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{self._path}: has the forward pass alone (--writer tf2onnx): it scores texts and writes none;"
            f" to generate, export with --writer direct, or run the Keras model itself"
        )

    def step(self, state: Any, ids: Ids) -> NoReturn:
        """Refuse, as `prefill` does."""
        self.prefill(ids, ids)

    def reorder(self, state: Any, indices: Ids) -> NoReturn:
        """Refuse, as `prefill` does."""
        self.prefill(indices, indices)

    def join(self, states: Any) -> NoReturn:
        """Refuse, as `prefill` does."""
        self.prefill(states, states)
