"""ROUGE-1, 2 and L, by rouge-score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from kerasgpt.extras import require

_NAMES = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}


def rouge_counts(text: str, references: Sequence[str]) -> dict[str, float]:
    """What a summary adds to a corpus's ROUGE: its F scores, each against the reference nearest to it.

    Args:
        text: as it was written.
        references: right summaries, at least one.
    """
    scores = _scorer().score_multi(references, text)
    return {ours: scores[theirs].fmeasure for theirs, ours in _NAMES.items()} | {"summaries": 1}


def rouge_figures(counts: Mapping[str, float]) -> dict[str, float]:
    """The mean F scores of ROUGE (Lin 2004) with Porter's stemmer, each from 0 to 100.

    Args:
        counts: sums of `rouge_counts`.
    """
    summaries = counts.get("summaries", 0) or 1
    return {name: 100 * counts.get(name, 0.0) / summaries for name in _NAMES.values()}


@cache
def _scorer() -> Any:
    module = require("rouge_score.rouge_scorer", "tasks", "ROUGE")
    return module.RougeScorer(list(_NAMES), use_stemmer=True)
