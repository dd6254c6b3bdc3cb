"""BLEU and chrF, by sacrebleu, from counts that add up over the sentences of a corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from kerasgpt.extras import require

_ORDERS = 4  # of BLEU: n-grams of 1 to 4 words
_CHRF_NAMES = [f"chrf_{what}_{order}" for order in range(1, 7) for what in ("written", "right", "common")]


def bleu_counts(text: str, references: Sequence[str]) -> dict[str, float]:
    """What a translation adds to a corpus's BLEU and chrF.

    Args:
        text: as it was written, not tokenized.
        references: right translations, at least one.

    Returns:
        Matching and all n-grams of words, of the text and for chrF of the references, and lengths.
    """
    bleu = _metric("BLEU").corpus_score([text], [[reference] for reference in references])
    counts: dict[str, float] = {"bleu_length": bleu.sys_len, "bleu_reference_length": bleu.ref_len}
    for order in range(_ORDERS):
        counts[f"bleu_common_{order + 1}"] = bleu.counts[order]
        counts[f"bleu_all_{order + 1}"] = bleu.totals[order]
    # sacrebleu gives chrF's counts by no public name; a test holds their sums to its corpus_score.
    chrf = _metric("CHRF")._extract_corpus_statistics([text], [[reference] for reference in references])
    return counts | dict(zip(_CHRF_NAMES, map(float, chrf[0]), strict=True))


def bleu_figures(counts: Mapping[str, float]) -> dict[str, float]:
    """BLEU (Papineni et al. 2002) and chrF2 (Popović 2015) of a corpus, each from 0 to 100.

    They are sacrebleu's with its own settings: tokenizer 13a, exponential smoothing, cased.

    Args:
        counts: sums of `bleu_counts`.
    """
    whole = {name: round(value) for name, value in counts.items()}
    bleu = _metric("BLEU")
    score = bleu.compute_bleu(
        [whole.get(f"bleu_common_{order}", 0) for order in range(1, _ORDERS + 1)],
        [whole.get(f"bleu_all_{order}", 0) for order in range(1, _ORDERS + 1)],
        whole.get("bleu_length", 0),
        whole.get("bleu_reference_length", 0),
        smooth_method=bleu.smooth_method,
        smooth_value=bleu.smooth_value,
    )
    statistics = [whole.get(name, 0) for name in _CHRF_NAMES]
    return {"bleu": score.score, "chrf": _metric("CHRF")._compute_f_score(statistics)}


@cache
def _metric(name: str) -> Any:
    return getattr(require("sacrebleu.metrics", "tasks", "BLEU"), name)()
