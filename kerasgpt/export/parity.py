"""Parity: how far an engine is from what the trained model answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kerasgpt.errors import KerasGPTError
from kerasgpt.export.reference import HasLogits, Reference, context_sums, signed_sums
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.protocols import Ids, LanguageModel, Logits, StepModel

LOGIT_TOLERANCE = 1e-4
"""Largest difference of a float32 logit, in units of the logits' spread where that is from 1 to 10; a greedy
step whose two best logits lie closer is exempt. float32 itself is off by up to 3e-5 of these units with 12
layers as with 48, and two engines by twice that."""

WIDEST_SPREAD = 10.0
"""Beyond it the tolerance does not grow: as a rule such logits mask tokens, too many for `spread_of`."""

NUM_FIRST_TOKENS = 16
"""Written by each prompt alone, and compared logit by logit with the cache: what neighbours or the cache do
to a row shows in its first tokens, and the greedy ids of the whole batch go on from there."""

RELATIVE_TOLERANCES = {"fp16": 0.1, "int8": 0.5, "int4": 0.5}
"""The same of other precisions, in units of the logits' root mean square. It bounds the worst logit of all;
float16 arithmetic has an rms error of about 0.002 of these units, activations rounded to 8 bits 0.02."""


def float32_tolerance(spread: float) -> float:
    """How far a logit may be off in float32 where the logits spread so far; see `spread_of`."""
    return LOGIT_TOLERANCE * min(max(spread, 1.0), WIDEST_SPREAD)


def tolerance_of(precision: str, reference: Reference) -> float:
    """How far a logit may be from the reference."""
    if precision not in RELATIVE_TOLERANCES:
        return float32_tolerance(reference.spread)
    size = np.sqrt(
        np.square(reference.signed_sums[reference.read]).mean()
    )  # about the logits', within a factor of 2
    return float(RELATIVE_TOLERANCES[precision] * size)


@dataclass(frozen=True)
class Parity:
    """How far an engine is from the reference; the export stands when `problems` is empty.

    Attributes:
        max_logit_error: largest absolute difference of a logit, all positions read at once.
        max_cached_logit_error: the same of the first tokens, read one by one with the cache; or None.
        num_tokens_compared: greedy tokens compared.
        num_near_ties: rows that part at a step whose two best logits lie within the tolerance.
        problems: one sentence for each way in which the engine differs.
    """

    max_logit_error: float
    max_cached_logit_error: float | None
    num_tokens_compared: int
    num_near_ties: int
    problems: list[str]

    @property
    def holds(self) -> bool:
        """Whether the engine equals the reference."""
        return not self.problems


class EngineWithLogits(HasLogits, LanguageModel, Protocol):
    """A language model that also answers with all its logits."""


def compare_step_model(
    lm: StepLanguageModel,
    reference: Reference,
    full_logits: Logits | None = None,
    precision: str = "fp32",
) -> Parity:
    """Compare an engine with the reference: logits, cache, greedy ids, batch against one by one.

    Args:
        lm: the engine.
        reference: of the trained model.
        full_logits: the reference's logits at all positions (B, S, V); without them the 16 best count.
        precision: of the engine's arithmetic, which says how large a difference may be.
    """
    tolerance = tolerance_of(precision, reference)
    error = logit_error(lm.model.all_logits(reference.ids, reference.lengths), reference, full_logits)
    error = float(np.maximum(error, context_error(lm.model, reference)))
    cached = cached_logit_error(lm.model, reference, full_logits)
    compared, ties, problems = compare_texts(lm, reference, tolerance)
    problems = logit_problems(cached, "read token by token with the cache, ", tolerance) + problems
    return Parity(error, cached, compared, ties, logit_problems(error, "", tolerance) + problems)


def compare_closed_model(
    lm: EngineWithLogits, reference: Reference, full_logits: Logits | None = None
) -> Parity:
    """Compare an engine whose cache cannot be seen from outside; its greedy text shows that it works."""
    error = logit_error(lm.all_logits(reference.ids, reference.lengths), reference, full_logits)
    error = float(np.maximum(error, context_error(lm, reference)))
    tolerance = tolerance_of("fp32", reference)
    compared, ties, problems = compare_texts(lm, reference, tolerance)
    return Parity(error, None, compared, ties, logit_problems(error, "", tolerance) + problems)


def compare_forward(model: HasLogits, reference: Reference, full_logits: Logits | None = None) -> Parity:
    """Compare an engine that has the forward pass alone: together, and one row of the whole context."""
    error = logit_error(model.all_logits(reference.ids, reference.lengths), reference, full_logits)
    error = float(np.maximum(error, context_error(model, reference)))
    wrote = ["the trained model wrote text, and this file cannot"] if any(reference.continuations) else []
    problems = logit_problems(error, "", tolerance_of("fp32", reference))
    return Parity(error, None, 0, 0, problems + wrote)


def compare_texts(lm: LanguageModel, reference: Reference, tolerance: float) -> tuple[int, int, list[str]]:
    """Generate from the prompts together, then the first tokens one by one.

    Returns:
        Tokens compared, near ties met, and problems.
    """
    short = dataclasses.replace(
        reference.settings, max_new_tokens=min(NUM_FIRST_TOKENS, reference.settings.max_new_tokens)
    )
    # As ids, since a long text would be cut later where less is to be written.
    pairs = zip(reference.ids, reference.prompt_lengths, strict=True)
    try:
        batched = lm.generate(reference.prompts, reference.settings)
        alone = [lm.generate([row[:length].tolist()], short)[0] for row, length in pairs]
    except KerasGPTError as error:  # as of logits that are no numbers
        return 0, 0, [str(error)]
    compared = ties = 0
    problems = []
    for how, generations in (("in a batch", batched), ("alone", alone)):
        for row, generation in enumerate(generations):
            limit = short.max_new_tokens if how == "alone" else None
            count, tied, problem = compare_ids(reference, row, generation.token_ids, tolerance, limit)
            whole = len(generation.token_ids) == len(reference.continuations[row])
            if whole and not tied and not problem and generation.text != reference.texts[row]:
                problem = "the ids are equal but their text is not"
            compared, ties = compared + count, ties + tied
            problems += [f"prompt {row} {how}: {problem}"] if problem else []
    return compared, ties, problems


def logit_error(logits: Logits, reference: Reference, full_logits: Logits | None = None) -> float:
    """Largest absolute difference from the reference at the positions that count; NaN stays NaN."""
    if full_logits is not None:
        return float(np.abs((logits - full_logits)[reference.read]).max())
    of_best = np.take_along_axis(logits, reference.top_ids, axis=-1) - reference.top_logits
    of_all = signed_sums(logits) - reference.signed_sums
    return float(np.maximum(np.abs(of_best).max(axis=-1), np.abs(of_all))[reference.read].max())


def context_error(model: HasLogits, reference: Reference) -> float:
    """Largest difference of a signed sum over the whole context, which reads every position's embedding."""
    return float(np.abs(context_sums(model, reference.context_ids) - reference.context_sums).max())


def cached_logit_error(model: StepModel, reference: Reference, full_logits: Logits | None = None) -> float:
    """The same, all rows in one batch: the prompts read at once, then the first tokens one by one."""
    width = int(reference.prompt_lengths.max())
    state, logits = model.prefill(reference.ids[:, :width], reference.prompt_lengths)
    rows, position = np.arange(len(reference.ids)), reference.prompt_lengths - 1
    last = np.minimum(reference.lengths, reference.prompt_lengths + NUM_FIRST_TOKENS) - 1
    worst = 0.0
    while True:
        worst = float(np.maximum(worst, _error_at(logits, reference, full_logits, rows, position)))
        running = np.flatnonzero(position < last[rows])
        if not running.size:
            return worst
        if running.size < rows.size:
            state, rows, position = model.reorder(state, running), rows[running], position[running]
        position = position + 1
        state, logits = model.step(state, reference.ids[rows, position])


def _error_at(
    logits: Logits, reference: Reference, full_logits: Logits | None, rows: Ids, position: Ids
) -> float:
    """Largest difference of logits (R, V) from the reference's at one position of each of R rows."""
    if full_logits is None:
        chosen = np.take_along_axis(logits, reference.top_ids[rows, position], axis=-1)
        return float(np.abs(chosen - reference.top_logits[rows, position]).max())
    return float(np.abs(logits - full_logits[rows, position]).max())


def logit_problems(error: float, how: str, tolerance: float) -> list[str]:
    """A sentence if the error is above the tolerance, or not a number."""
    if error <= tolerance:
        return []
    return [f"{how}a logit differs by {error:.3g}, allowed are {tolerance:.3g}"]


def compare_ids(
    reference: Reference,
    row: int,
    ids: Sequence[int],
    tolerance: float,
    limit: int | None = None,
) -> tuple[int, int, str]:
    """Compare one row's greedy ids with the first `limit` of the reference.

    Returns:
        Tokens compared, near ties met (0 or 1), and the problem, if any.
    """
    expected = reference.continuations[row][:limit]
    if list(ids) == expected:
        return len(expected), 0, ""
    pairs = zip(expected, ids, strict=False)
    step = next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(expected), len(ids)))
    margin = reference.margins[row, reference.prompt_lengths[row] - 1 + step]
    if step < len(expected) and step < len(ids) and margin < tolerance:
        return step, 1, ""
    return step, 0, f"greedy decoding parts at token {step}, where the best logit leads by {margin:.3g}"
