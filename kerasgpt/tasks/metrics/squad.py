"""Exact match and F1 by the rules of SQuAD 1.1 (Rajpurkar et al. 2016, arXiv:1606.05250)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(answer: str) -> str:
    """What of an answer counts: lower case, no ASCII punctuation, no articles, single spaces.

    >>> normalised("The  Denver Broncos!")
    'denver broncos'
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_WITHOUT_PUNCTUATION)).split())


def f1(answer: str, reference: str) -> float:
    """The harmonic mean of precision and recall of an answer's words, as a bag.

    >>> f1("the red house", "house of bricks")
    0.4
    """
    written, right = normalised(answer).split(), normalised(reference).split()
    num_common = sum((Counter(written) & Counter(right)).values())
    return 2 * num_common / (len(written) + len(right)) if num_common else 0.0


def answer_counts(text: str, references: Sequence[str]) -> dict[str, float]:
    """What an answer adds to a corpus's figures: the best it has against any of the right answers."""
    return {
        "exact": float(any(normalised(text) == normalised(each) for each in references)),
        "f1": max(f1(text, each) for each in references),
        "answers": 1,
    }


def answer_figures(counts: Mapping[str, float]) -> dict[str, float]:
    """Exact match and mean F1, each from 0 to 100, from sums of `answer_counts`."""
    answers = counts.get("answers", 0) or 1
    return {
        "exact_match": 100 * counts.get("exact", 0.0) / answers,
        "f1": 100 * counts.get("f1", 0.0) / answers,
    }
