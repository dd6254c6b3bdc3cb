"""A session over the graph that reads vectors: tokens by their own, or whatever vectors a caller has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.protocols import Ids, Logits, Vectors
from kerasgpt.runtime.interface import EMBEDS
from kerasgpt.runtime.session import Caches, OnnxStepModel, run


class EmbedsStepModel(OnnxStepModel):
    """Runs ``model_inputs_embeds.onnx``; see `kerasgpt.protocols.EmbeddingStepModel`.

    Wherever ids (B, T) are read, it also takes vectors float32 (B, T, D) in their place.

    Args:
        path: of the graph.
        max_sequence_length: the context, in tokens.
        session: of the graph.
        embed_session: of ``embed_tokens.onnx`` beside it.

    Raises:
        KerasGPTError: the graphs are not those that an export writes.
    """

    reads = artifacts.INPUTS_EMBEDS
    interface = EMBEDS

    def __init__(self, path: Path, *, max_sequence_length: int, session: Any, embed_session: Any) -> None:
        super().__init__(path, max_sequence_length=max_sequence_length, session=session)
        self._embed_session = embed_session
        shapes = {value.name: value.shape for value in session.get_inputs()}
        self.hidden_dim: int = shapes[self.reads][2]
        given = [output.shape[2:] for output in embed_session.get_outputs()]
        if given != [[self.hidden_dim]]:
            raise KerasGPTError(
                f"{path}: reads vectors of width {self.hidden_dim}, and {artifacts.EMBED_TOKENS} does not"
                " give them; export the model again"
            )

    def embed(self, ids: Ids) -> Vectors:
        """The vectors of tokens: int64 (B, T) -> float32 (B, T, D), without their positions."""
        feeds = {"input_ids": ids.astype(np.int64, copy=False)}
        vectors: Vectors = run(self._embed_session, self._path, None, feeds)[0]
        return vectors

    def _run(self, ids: Ids | Vectors, mask: Ids, positions: Ids, caches: Caches) -> tuple[Logits, Caches]:
        """Run the graph once, on ids (B, T) or vectors (B, T, D)."""
        vectors = self.embed(ids) if ids.ndim == 2 else ids  # type: ignore[arg-type] # the rank tells
        if vectors.ndim != 3 or vectors.shape[2] != self.hidden_dim:
            raise UsageError(
                f"vectors of shape {vectors.shape}: the model reads (batch, tokens, {self.hidden_dim})"
            )
        return self._answer(np.ascontiguousarray(vectors, np.float32), mask, positions, caches)
