"""How probable given texts are, by one pass over each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kerasgpt import checks
from kerasgpt.errors import UsageError, counted
from kerasgpt.generation.batches import batches
from kerasgpt.generation.probabilities import log_softmax, refuse_no_numbers
from kerasgpt.generation.prompts import PromptReader
from kerasgpt.generation.samplers import greedy
from kerasgpt.generation.texts import pad_right
from kerasgpt.protocols import Ids, Logits, Prompt, Score


class AllLogits(Protocol):
    """What scoring asks of an engine."""

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, float32 (B, T, V); those at and after `lengths` are meaningless."""


class Scorer:
    """Scores with an engine; see `kerasgpt.protocols.LanguageModel`.

    Args:
        model: the engine.
        reader: of its prompts.
    """

    def __init__(self, model: AllLogits, reader: PromptReader) -> None:
        self._model = model
        self._reader = reader

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Prompt]) -> list[Score]:
        """Score each continuation after its prompt.

        Args:
            prompts: texts, or ids; an empty one is ``<|endoftext|>``. Where prompt and continuation do
                not fit into the context together, only the prompt's end is read, with a warning.
            continuations: texts, or ids; encoded apart from their prompts.

        Returns:
            One Score a pair, in their order.

        Raises:
            UsageError: the lists differ in length, an id is not in the vocabulary, or a continuation
                is longer than the context.
        """
        prompts = checks.several("prompts", prompts)
        continuations = checks.several("continuations", continuations)
        if len(prompts) != len(continuations):
            raise UsageError(
                f"{counted(len(prompts), 'prompt')} and {counted(len(continuations), 'continuation')}:"
                " give one of each a pair"
            )
        pairs = [self._reader.pair(*pair) for pair in zip(prompts, continuations, strict=True)]
        scores = [Score(0.0, 0, True)] * len(pairs)
        # An empty continuation is certain; the last token of any other is scored, but never read.
        for number, logits in self._read([[*prompt, *rest][:-1] if rest else [] for prompt, rest in pairs]):
            prompt, rest = pairs[number]
            first = len(prompt) - 1
            scores[number] = _score(logits[first : first + len(rest)], rest)
        return scores

    def token_logprobs(self, rows: Sequence[Sequence[int]]) -> dict[int, list[float | None]]:
        """Log-probabilities of the tokens of those rows that have any, by the rows' numbers.

        The first token's is None: nothing precedes it.
        """
        return {
            number: [None, *_logprobs(logits[: len(rows[number]) - 1], rows[number][1:]).tolist()]
            for number, logits in self._read(rows)
        }

    def _read(self, rows: Sequence[Sequence[int]]) -> Iterator[tuple[int, Logits]]:
        """Read rows that have tokens: the number of each, and its logits, float32 (T or more, V)."""
        for batch in batches([len(row) for row in rows], self._reader.vocabulary_size):
            logits = self._model.all_logits(*pad_right([rows[number] for number in batch]))
            yield from zip(batch, logits, strict=True)


def _score(logits: Logits, ids: Sequence[int]) -> Score:
    """Score tokens (T,) under the logits (T, V) that precede each."""
    total = float(_logprobs(logits, ids).sum(dtype=np.float64))
    return Score(total, len(ids), np.array_equal(greedy(logits), ids))


def _logprobs(logits: Logits, ids: Sequence[int]) -> Logits:
    """Log-probabilities (T,) of tokens under the logits (T, V) that precede each."""
    targets: NDArray[np.int64] = np.array(ids, np.int64)
    logprobs: Logits = np.take_along_axis(log_softmax(logits), targets[:, None], axis=1)[:, 0]
    if np.isnan(logprobs).any():
        refuse_no_numbers(logits)
    return logprobs
