"""GraphNetwork: what the signatures of a SavedModel ask of the network they write and score with."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from kerasgpt.architectures import AnyConfig


@runtime_checkable
class GraphNetwork(Protocol):
    """A language model's forward pass in core TensorFlow ops."""

    @property
    def config(self) -> AnyConfig:
        """Of the model, for its sizes."""

    def read_prompts(self, ids: Any) -> tuple[Any, ...]:
        """Read ids int64 (B, T), padded on the right: what positions hold, float32 (B, T, D), and more."""

    def final_norm(self, stream: Any) -> Any:
        """Of what positions hold (..., D), the hidden states (..., D) that the head reads."""

    def head(self, hidden: Any) -> Any:
        """Hidden states (n, D) -> logits float32 (n, V)."""
