"""The contracts that join the light and the heavy world: Tokenizer, StepModel, LanguageModel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kerasgpt.generation_config import GenerationConfig

Prompt: TypeAlias = str | Sequence[int]
"""A prompt is text, or the token ids themselves."""

Settings: TypeAlias = GenerationConfig | Sequence[GenerationConfig]
"""How to write: the same for all prompts of a request, or one for each."""

Ids: TypeAlias = NDArray[np.int64]
"""Token ids, int64."""

Logits: TypeAlias = NDArray[np.float32]
"""Unnormalised log-probabilities over the vocabulary, float32."""

Vectors: TypeAlias = NDArray[np.float32]
"""What a model reads, or tokens are turned into: float32 (..., D)."""

FinishReason: TypeAlias = Literal["stop", "length"]


@dataclass(frozen=True)
class Generation:
    """What a model wrote after one prompt.

    Attributes:
        text: the continuation only, valid UTF-8, special tokens left out unless asked for.
        token_ids: the ids of the continuation, the end-of-text token included when it ended the text.
        num_prompt_tokens: tokens of the prompt that the model read (after truncation to the context).
        finish_reason: ``"stop"`` at end of text or a stop string, ``"length"`` at a limit.
        logprobs: natural-log probability of each id of `token_ids` under the model's unmodified softmax.

    Where the settings ask for an echo, `text`, `token_ids` and `logprobs` begin with those of the prompt, the
    very first log-probability being None: nothing precedes that token.
    """

    text: str
    token_ids: list[int]
    num_prompt_tokens: int
    finish_reason: FinishReason
    logprobs: list[float | None]


@dataclass(frozen=True)
class Score:
    """How probable a continuation is after its prompt.

    Attributes:
        logprob: sum of natural-log probabilities of the continuation's tokens.
        num_tokens: tokens of the continuation.
        is_greedy: whether greedy decoding would have written exactly this continuation.
    """

    logprob: float
    num_tokens: int
    is_greedy: bool


@runtime_checkable
class Tokenizer(Protocol):
    """text <-> ids, exactly and reversibly."""

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, special tokens included."""

    @property
    def end_of_text_id(self) -> int:
        """The id of ``<|endoftext|>``, which begins, separates and ends documents."""

    def encode(self, text: str) -> list[int]:
        """Turn text into ids; special tokens in the text are ordinary text."""

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Turn ids into text; malformed UTF-8 becomes U+FFFD."""


class StepModel(Protocol):
    """A language model that reads a prompt at once and then one token at a time.

    `state` is whatever the engine needs between steps (its KV cache); callers only hand it back.
    """

    @property
    def vocabulary_size(self) -> int:
        """V, the length of the last axis of the logits."""

    @property
    def max_sequence_length(self) -> int:
        """The context: prompt and continuation together have at most so many tokens."""

    def prefill(self, ids: Ids, lengths: Ids) -> tuple[Any, Logits]:
        """Read prompts.

        Args:
            ids: int64 (B, T), padded on the right with any valid id.
            lengths: int64 (B,), tokens of each row that count, at least 1.

        Returns:
            The state, and the logits float32 (B, V) that follow each row's last token.
        """

    def step(self, state: Any, ids: Ids) -> tuple[Any, Logits]:
        """Read one more token a row: int64 (B,) -> the new state and logits float32 (B, V)."""

    def reorder(self, state: Any, indices: Ids) -> Any:
        """Keep, repeat or drop rows: the state whose row i is the old row ``indices[i]``.

        The given state is used up. Rows that stay in their place are the cheapest, and then those that
        move into the place of one that is dropped.
        """

    def join(self, states: Sequence[Any]) -> Any:
        """Lay the rows of states one after another; they may have read differently much, and are used up."""

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, float32 (B, T, V); those at and after `lengths` are meaningless."""


@runtime_checkable
class ExtendableStepModel(StepModel, Protocol):
    """A StepModel that also reads several tokens after a text, forgets the last ones again, and copies."""

    def extend(self, state: Any, ids: Ids, num_logits: int | None = None) -> tuple[Any, Logits]:
        """Read tokens after one row.

        Args:
            state: of one row.
            ids: int64 (1, T).
            num_logits: K, how many of the last tokens to answer for; None means all.

        Returns:
            The new state, and the logits after each of those tokens, float32 (1, K, V).
        """

    def rewind(self, state: Any, num_tokens: int) -> Any:
        """The state as it was before each row's last `num_tokens` tokens; the given one is used up."""

    def snapshot(self, state: Any, row: int, num_tokens: int) -> Any:
        """The first tokens of one row, in memory of their own.

        It is never used up: `extend` and `rewind` leave it as it is, and may be called from several threads.
        """


@runtime_checkable
class EmbeddingStepModel(StepModel, Protocol):
    """A StepModel whose `prefill` and `all_logits` also read vectors float32 (B, T, D) in place of ids."""

    @property
    def hidden_dim(self) -> int:
        """D, the width of the vectors."""

    def embed(self, ids: Ids) -> Vectors:
        """The vectors of tokens, int64 (B, T) -> float32 (B, T, D), without their positions."""


class LanguageModel(Protocol):
    """Text in, text out, on any engine: all that tasks, the command line and a server know."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer the model was trained with."""

    @property
    def max_sequence_length(self) -> int:
        """The context, in tokens."""

    def generate(self, prompts: Sequence[Prompt], settings: Settings | None = None) -> list[Generation]:
        """Continue each prompt `num_return_sequences` times; no row's result depends on its neighbours."""

    def stream(self, prompt: Prompt, settings: GenerationConfig | None = None) -> Iterator[str]:
        """Yield the continuation in pieces that split no character; joined, they are `generate`'s text."""

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Prompt]) -> list[Score]:
        """Score each continuation after its prompt."""
