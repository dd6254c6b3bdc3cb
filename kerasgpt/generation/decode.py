"""THE loop: prompts -> tokens, one step at a time, for every engine that implements StepModel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.generation.chooser import Chooser, settings_of_rows
from kerasgpt.generation.probabilities import log_softmax
from kerasgpt.generation.samplers import Seeds, seeds_of_rows
from kerasgpt.generation.stopping import room
from kerasgpt.generation.texts import Texts, pad_right
from kerasgpt.protocols import FinishReason, Ids, Logits, Settings, StepModel

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
    settings: Settings,
    end_of_text_id: int,
    *,
    row_seeds: Seeds | None = None,
    ends_text: EndsText | None = None,
) -> Iterator[list[Token]]:
    """Continue prompts together; a row that has ended is dropped and costs nothing more.

    Args:
        model: any engine.
        prompts: ids, each with at least one and fewer than the model's context; lengths may differ.
        settings: of all rows, or one for each. Beam search is another loop.
        end_of_text_id: the token that ends a row.
        row_seeds: uint64 (B,) of the sampling; None means each row's seed + index.
        ends_text: asked after each token about stop strings.

    Yields:
        For each step, one token of each row still running, in the order of the prompts.
    """
    each = settings_of_rows(settings, len(prompts))
    context = model.max_sequence_length
    limits = np.array(
        [room(len(prompt), own.max_new_tokens, context) for prompt, own in zip(prompts, each, strict=True)],
        np.int64,
    )
    rows = np.flatnonzero(limits)
    if not rows.size:
        return
    seeds = seeds_of_rows(own.seed for own in each) if row_seeds is None else row_seeds
    chooser, texts = Chooser(each, seeds, end_of_text_id), Texts(prompts, int(limits.max()))
    state, logits = prefill_once(model, [prompts[row] for row in rows.tolist()])
    for step in range(int(limits.max())):
        chosen = chooser.choose(logits, rows, step, texts.of_rows(rows))
        ended = chosen == end_of_text_id
        if ends_text is not None:
            ended |= [
                ends_text(row, index) for row, index in zip(rows.tolist(), chosen.tolist(), strict=True)
            ]
        full = limits[rows] <= step + 1
        yield tokens_of_step(rows, chosen, logits, ended, full)
        running = np.flatnonzero(~(ended | full))
        if not running.size:
            return
        if running.size < rows.size:
            state, rows, chosen = model.reorder(state, running), rows[running], chosen[running]
        texts.append(rows, chosen)
        state, logits = model.step(state, chosen)


def prefill_once(model: StepModel, prompts: Sequence[Sequence[int]]) -> tuple[Any, Logits]:
    """Read prompts, equal ones only once: the state of all, and the logits (B, V) that follow."""
    numbers: dict[tuple[int, ...], int] = {}
    rows = np.array([numbers.setdefault(tuple(prompt), len(numbers)) for prompt in prompts], np.int64)
    state, logits = model.prefill(*pad_right(list(numbers)))
    if len(numbers) == len(prompts):
        return state, logits
    return model.reorder(state, rows), logits[rows]


def tokens_of_step(rows: Ids, chosen: Ids, logits: Logits, ended: Flags, full: Flags) -> list[Token]:
    """What a step wrote: the tokens chosen for R rows from logits (R, V), and which rows end with them."""
    logprobs = np.take_along_axis(log_softmax(logits), chosen[:, None], axis=1)[:, 0]  # (B,)
    reasons: list[FinishReason | None] = [
        "stop" if end else "length" if limit else None for end, limit in zip(ended, full, strict=True)
    ]
    columns = rows.tolist(), chosen.tolist(), logprobs.tolist(), reasons
    return [Token(*values) for values in zip(*columns, strict=True)]
