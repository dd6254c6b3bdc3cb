"""THE loop: prompts -> tokens, one step at a time, for every engine that implements StepModel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GenerationConfig
from kerasgpt.generation.processors import log_softmax
from kerasgpt.generation.samplers import Seeds, sample, seeds_of_rows
from kerasgpt.protocols import FinishReason, Ids, Logits, StepModel

Flags: TypeAlias = NDArray[np.bool_]

EndsText: TypeAlias = Callable[[int, int], bool]
"""Told a row and its newest token; answers whether a stop string ends the row here."""


@dataclass(frozen=True)
class Token:
    """One token written.

    Attributes:
        row: index of its prompt.
        id: the token.
        logprob: its natural-log probability under the model's unmodified softmax.
        finish_reason: why the row ends with it, or None.
    """

    row: int
    id: int
    logprob: float
    finish_reason: FinishReason | None


def decode(
    model: StepModel,
    prompts: Sequence[Sequence[int]],
    settings: GenerationConfig,
    end_of_text_id: int,
    *,
    row_seeds: Seeds | None = None,
    ends_text: EndsText | None = None,
) -> Iterator[list[Token]]:
    """Continue prompts together; a row that has ended is dropped and costs nothing more.

    Args:
        model: any engine.
        prompts: ids, each with at least one and fewer than the model's context; lengths may differ.
        settings: of the request.
        end_of_text_id: the token that ends a row.
        row_seeds: uint64 (B,) of the sampling; None means ``settings.seed`` + index.
        ends_text: asked after each token about stop strings.

    Yields:
        For each step, one token of each row still running, in the order of the prompts.
    """
    if not prompts or not settings.max_new_tokens:
        return
    seeds = seeds_of_rows(settings.seed, len(prompts)) if row_seeds is None else row_seeds
    rows = np.arange(len(prompts))
    ids, lengths = pad_right(prompts)
    seen = _seen(ids, lengths, model.vocabulary_size) if settings.repetition_penalty != 1 else None
    state, logits = model.prefill(ids, lengths)
    for step in range(settings.max_new_tokens):
        chosen = sample(logits, settings, seeds[rows], step, seen)
        ended = chosen == end_of_text_id
        if ends_text is not None:
            ended |= [
                ends_text(row, index) for row, index in zip(rows.tolist(), chosen.tolist(), strict=True)
            ]
        last = step + 1 == settings.max_new_tokens
        full = last | (lengths[rows] + step + 1 >= model.max_sequence_length)
        yield _tokens(rows, chosen, logits, ended, full)
        running = np.flatnonzero(~(ended | full))
        if not running.size:
            return
        if running.size < rows.size:
            state, rows, chosen = model.reorder(state, running), rows[running], chosen[running]
            seen = None if seen is None else seen[running]
        if seen is not None:
            seen[np.arange(rows.size), chosen] = True
        state, logits = model.step(state, chosen)


def _tokens(rows: Ids, chosen: Ids, logits: Logits, ended: Flags, full: Flags) -> list[Token]:
    logprobs = np.take_along_axis(log_softmax(logits), chosen[:, None], axis=1)[:, 0]  # (B,)
    reasons: list[FinishReason | None] = [
        "stop" if end else "length" if limit else None for end, limit in zip(ended, full, strict=True)
    ]
    columns = rows.tolist(), chosen.tolist(), logprobs.tolist(), reasons
    return [Token(*values) for values in zip(*columns, strict=True)]


def pad_right(rows: Sequence[Sequence[int]]) -> tuple[Ids, Ids]:
    """Lay ragged rows into one array: ids int64 (B, T) padded with 0, and lengths int64 (B,)."""
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.zeros((len(rows), int(lengths.max(initial=0))), np.int64)
    for target, row in zip(ids, rows, strict=True):
        target[: len(row)] = row
    return ids, lengths


def _seen(ids: Ids, lengths: Ids, vocabulary_size: int) -> Flags:
    """Which tokens each prompt holds: bool (B, V)."""
    seen = np.zeros((len(ids), vocabulary_size), np.bool_)
    for mask, row, length in zip(seen, ids, lengths.tolist(), strict=True):
        mask[row[:length]] = True
    return seen
