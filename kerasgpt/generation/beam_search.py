"""Beam search: the most probable continuations as a whole, with the choices of Hugging Face's generate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.generation.prefill import Prefill
from kerasgpt.generation.probabilities import log_softmax, refuse_no_numbers
from kerasgpt.generation.processors import process
from kerasgpt.generation.stopping import room
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import FinishReason, Ids, Logits, StepModel

IMPROBABLE = np.float32(-1e9)
"""Score of the copies that a search begins with: any true continuation is better, but they can fill up."""

Flags: TypeAlias = NDArray[np.bool_]

EndsWith: TypeAlias = Callable[[int, Sequence[int]], bool]
"""Told a row and a continuation of it; answers whether a stop string is complete in it."""


@dataclass(frozen=True)
class Hypothesis:
    """One continuation that a search has ended.

    Attributes:
        ids: tokens of the continuation.
        logprobs: of each, under the model's unmodified softmax.
        score: the sum of the log-probabilities that the search saw, over the length to its penalty.
        finish_reason: ``"stop"`` or ``"length"``.
    """

    ids: list[int]
    logprobs: list[float]
    score: float
    finish_reason: FinishReason


def beam_search(
    model: StepModel,
    prompts: Sequence[Sequence[int]],
    settings: GenerationConfig,
    end_of_text_id: int,
    *,
    ends_with: EndsWith | None = None,
    prefill: Prefill | None = None,
) -> list[list[Hypothesis]]:
    """Search the best continuations of prompts, each on its own but all in one batch.

    Each step extends a prompt's K beams by every token and looks at the 2 K best of them: those among the
    first K that end are hypotheses, the first K that do not are the next beams.

    Args:
        model: any engine.
        prompts: ids, each with at least one and fewer than the model's context; lengths may differ.
        settings: of all of them; K is `num_beams`. The penalties and constraints act on log-probabilities.
        end_of_text_id: the token that ends a hypothesis.
        ends_with: asked about stop strings.
        prefill: which reads the prompts; None means one that remembers nothing.

    Returns:
        For each prompt its K hypotheses, the best first; where the constraints allow fewer, the last of
        them again.
    """
    searches = [_Search(row, prompt, settings, model, ends_with) for row, prompt in enumerate(prompts)]
    live = [search for search in searches if not search.is_done]
    if live:
        beams = [prompts[search.row] for search in live for _ in range(settings.num_beams)]
        state, logits = (prefill or Prefill(model)).read(beams)
    while live:
        refuse_no_numbers(logits)
        logprobs = log_softmax(logits)
        texts = [text for search in live for text in search.texts()]
        heeded = process(logprobs, settings, texts, end_of_text_id)
        # Parents of the next beams, as rows of this batch, of the searches that go on.
        rows = np.arange(len(texts)).reshape(len(live), settings.num_beams)
        parents = [
            own[search.advance(logprobs[own], heeded[own], end_of_text_id)]
            for search, own in zip(live, rows, strict=True)
        ]
        parents = [own for own, search in zip(parents, live, strict=True) if not search.is_done]
        live = [search for search in live if not search.is_done]
        if live:
            state = model.reorder(state, np.concatenate(parents))
            state, logits = model.step(state, np.concatenate([search.newest for search in live]))
    return [search.filled() for search in searches]


class _Search:
    """The beams of one prompt, the best first, and the hypotheses that ended."""

    def __init__(
        self,
        row: int,
        prompt: Sequence[int],
        settings: GenerationConfig,
        model: StepModel,
        ends_with: EndsWith | None,
    ) -> None:
        self.row = row
        self._hypotheses: list[Hypothesis] = []
        self._settings = settings
        self._ends_with = ends_with
        self._start = len(prompt)
        self._limit = room(len(prompt), settings.max_new_tokens, model.max_sequence_length)
        self._length = 0  # of the beams, the prompt left out
        shape = settings.num_beams, len(prompt) + self._limit
        self._ids = np.zeros(shape, np.int64)
        self._ids[:, : len(prompt)] = prompt
        self._logprobs = np.zeros((settings.num_beams, self._limit), np.float32)
        # The beams are still the same: all but the first stand back, or each would be found K times.
        self._scores = np.full(settings.num_beams, IMPROBABLE)
        self._scores[0] = 0
        self.is_done = self._limit == 0
        if self.is_done:
            self._hypotheses = [Hypothesis([], [], 0.0, "length")]

    @property
    def newest(self) -> Ids:
        """The last token of each beam, int64 (K,)."""
        return self._ids[:, self._start + self._length - 1]

    def filled(self) -> list[Hypothesis]:
        """K hypotheses, the best first."""
        missing = self._settings.num_beams - len(self._hypotheses)
        return [*self._hypotheses, *self._hypotheses[-1:] * missing]

    def texts(self) -> list[Text]:
        """What each beam holds."""
        return [Text(ids, self._start) for ids in self._ids[:, : self._start + self._length]]

    def advance(self, logprobs: Logits, heeded: Logits, end_of_text_id: int) -> Ids:
        """Extend the beams by a token.

        Args:
            logprobs: float32 (K, V), the model's.
            heeded: the same with penalties and constraints.
            end_of_text_id: the token that ends a hypothesis.

        Returns:
            Number of the beam that each of the next beams extends, int64 (K,).
        """
        count, size = heeded.shape
        totals = (heeded + self._scores[:, None]).ravel()
        best = _largest(totals, 2 * count)
        beams, tokens = np.divmod(best, size)
        ids, token_logprobs = self._ids[beams], self._logprobs[beams]  # copies, (2 K, ...)
        ids[:, self._start + self._length] = tokens
        token_logprobs[:, self._length] = logprobs[beams, tokens]
        self._length += 1
        stopped = self._stopped(ids, tokens == end_of_text_id)
        ended = stopped | (self._length == self._limit)
        for number in np.flatnonzero(ended[:count] & (totals[best[:count]] > -np.inf)).tolist():
            reason: FinishReason = "stop" if stopped[number] else "length"
            self._keep(ids[number], token_logprobs[number], totals[best[number]], reason)
        # Those that ended come last; they go on only where nothing else does, and then the search is done.
        running = np.argsort(ended, kind="stable")[:count]
        self._ids, self._logprobs = ids[running], token_logprobs[running]
        self._scores = np.where(ended, -np.inf, totals[best]).astype(np.float32)[running]
        self.is_done = not self._can_improve()
        return beams[running]

    def _stopped(self, ids: Ids, is_end_of_text: Flags) -> Flags:
        if self._ends_with is None:
            return is_end_of_text
        continuations = ids[:, self._start : self._start + self._length].tolist()
        return is_end_of_text | [self._ends_with(self.row, written) for written in continuations]

    def _keep(self, ids: Ids, logprobs: Logits, total: float, reason: FinishReason) -> None:
        """Take a hypothesis in, if it is among the K best."""
        hypothesis = Hypothesis(
            ids[self._start : self._start + self._length].tolist(),
            logprobs[: self._length].tolist(),
            float(total) / self._length**self._settings.length_penalty,
            reason,
        )
        ranked = sorted([*self._hypotheses, hypothesis], key=lambda each: -each.score)
        self._hypotheses = ranked[: self._settings.num_beams]

    def _can_improve(self) -> bool:
        """Whether a beam may still become better than the worst hypothesis, as `early_stopping` judges."""
        early, penalty = self._settings.early_stopping, self._settings.length_penalty
        best = float(self._scores.max())
        if best == -np.inf:
            return False
        if len(self._hypotheses) < self._settings.num_beams:
            return True
        if early is True:
            return False
        # Totals only fall, but divided by a length they may rise: at most to what the longest gives.
        length = self._limit if early == "never" and penalty > 0 else self._length
        divisor: float = length**penalty
        return best / divisor > self._hypotheses[-1].score


def _largest(values: Logits, count: int) -> Ids:
    """Places of the largest values of (M,), in falling order; among equals the first comes first."""
    threshold = np.partition(values, -count)[-count]
    places = np.flatnonzero(values >= threshold)
    return places[np.argsort(-values[places], kind="stable")][:count]
