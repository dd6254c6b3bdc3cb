"""Votes of people on blind pairs: read, unsealed, and counted with an interval."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.people.comparison import name_of, unseal

CHOICES = ("first", "second", "tie")
SCORES = {"a": 1.0, "tie": 0.5, "b": 0.0}  # a tie is half a win for each
NORMAL_QUANTILE = 1.959963984540054  # of 0.975: a 95 % interval


@dataclass(frozen=True)
class Votes:
    """What one person decided.

    Args:
        path: of the file.
        comparison: its name.
        rater: who; drawn by the page.
        secret: what wrote which text.
        winners: for each pair judged ``a``, ``b`` or ``tie``.
    """

    path: str
    comparison: str
    rater: str
    secret: Mapping[str, Any]
    winners: Sequence[str]


def read_votes(paths: Iterable[str]) -> list[Votes]:
    """Read what pages have exported.

    Raises:
        KerasGPTError: a file is no export, holds no vote, was changed, is of another comparison than the
            first, or is of a rater who is there already.
    """
    found: list[Votes] = []
    for path in paths:
        votes = _read(path)
        if found and votes.comparison != found[0].comparison:
            raise KerasGPTError(
                f"{path}: votes of comparison {votes.comparison}, but {found[0].path} is of"
                f" {found[0].comparison}; count each comparison for itself"
            )
        twin = next((other for other in found if other.rater == votes.rater), None)
        if twin:
            raise KerasGPTError(f"{path}: rater {votes.rater} is in {twin.path} too; give one of the two")
        found.append(votes)
    return found


def _read(path: str) -> Votes:
    try:
        content = json.loads(Path(path).read_bytes().decode("utf-8"))
    except OSError as error:
        raise KerasGPTError(f"{path}: cannot read the votes ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise KerasGPTError(f"{path}: not JSON ({error}); give the file that the page exported") from error
    if not isinstance(content, dict) or content.get("format") != "kerasgpt-votes":
        raise KerasGPTError(f"{path}: not the votes that a page of 'kerasgpt compare' exports")
    try:
        return _checked(path, content)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise KerasGPTError(f"{path}: damaged or changed since its export; export it again") from error


def _checked(path: str, content: Mapping[str, Any]) -> Votes:
    """Take an export apart; whatever does not fit raises something."""
    secret, choices = unseal(content["sealed"]), content["votes"]
    first = secret["first"]
    is_whole = content["comparison"] == name_of(content["sealed"]) and len(choices) <= len(first)
    is_whole = is_whole and isinstance(choices, list)
    if not is_whole or not isinstance(content["rater"], str) or not set(choices) <= set(CHOICES):
        raise ValueError("not as it was exported")
    if not choices:
        raise KerasGPTError(f"{path}: holds no vote yet; judge some pairs first")
    winners = [_winner(choice, place) for choice, place in zip(choices, first, strict=False)]
    return Votes(path, content["comparison"], content["rater"], secret, winners)


def _winner(choice: str, first: str) -> str:
    """Which side was preferred, where `first` says which came first."""
    if choice == "tie":
        return "tie"
    return first if choice == "first" else "ab".replace(first, "")


def count(votes: Sequence[Votes]) -> dict[str, Any]:
    """Sum up: how often A was preferred to B.

    A pair's score is the mean over those who judged it of 1 (A), 1/2 (tie) and 0 (B); the win rate is the
    mean of the scores. Votes on one pair are not independent, so that the interval (Wilson, 95 %) and
    the sign test, in which ties drop out, take a pair as one observation, however many have judged it.

    Args:
        votes: at least one rater's.

    Returns:
        JSON: the sides, the counts, ``win_rate``, ``interval``, ``p_value``, and with several raters
        ``agreement`` (share of equal votes among all two of one pair) and Krippendorff's ``alpha``.
    """
    secret = votes[0].secret
    judged = [
        list(filter(None, each)) for each in itertools.zip_longest(*(one.winners for one in votes))
    ]  # for each pair the votes on it
    scores = [math.fsum(SCORES[winner] for winner in pair) / len(pair) for pair in judged]
    total = Counter(itertools.chain.from_iterable(judged))
    rate = math.fsum(scores) / len(scores)
    wins, losses = sum(score > 0.5 for score in scores), sum(score < 0.5 for score in scores)
    return {
        "comparison": votes[0].comparison,
        "a": secret["a"],
        "b": secret["b"],
        "num_raters": len(votes),
        "num_pairs": len(secret["first"]),
        "num_pairs_judged": len(scores),
        "num_identical": secret["num_identical"],
        "votes": {name: total[name] for name in SCORES},
        "win_rate": rate,
        "interval": wilson(rate, len(scores)),
        "p_value": sign_test(wins, losses),
        "first_preferred": _first_preferred(votes, secret["first"]),
        **_agreement(judged),
    }


def wilson(rate: float, trials: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927), which stays within 0 and 1.

    >>> [round(end, 4) for end in wilson(0.5, 10)]
    [0.2366, 0.7634]
    """
    square = NORMAL_QUANTILE**2 / trials
    centre = rate + square / 2
    half = math.sqrt(square * (rate * (1 - rate) + square / 4))
    return max(0.0, (centre - half) / (1 + square)), min(1.0, (centre + half) / (1 + square))


def sign_test(wins: int, losses: int) -> float:
    """How probable so one-sided a count is if both sides are as good, both directions together.

    >>> sign_test(9, 1)
    0.021484375
    """
    trials = wins + losses
    tail = sum(math.comb(trials, number) for number in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / (1 << trials))


def _first_preferred(votes: Sequence[Votes], first: str) -> float | None:
    """Share of decided votes for what was shown first: far from a half, the raters prefer a place."""
    decided = [
        winner == place
        for one in votes
        for winner, place in zip(one.winners, first, strict=False)
        if winner != "tie"
    ]
    return sum(decided) / len(decided) if decided else None


def _agreement(judged: Sequence[Sequence[str]]) -> dict[str, float | None]:
    """Observed agreement and Krippendorff's alpha (nominal), over the pairs that several have judged."""
    shared = [Counter(pair) for pair in judged if len(pair) > 1]
    if not shared:
        return {"agreement": None, "alpha": None}
    equal = [sum(n * (n - 1) for n in pair.values()) for pair in shared]
    sizes = [pair.total() for pair in shared]
    observed = sum(equal) / sum(size * (size - 1) for size in sizes)
    # Krippendorff weighs a pair by its votes; what chance alone would give is drawn without replacement.
    disagreement = sum(size - same / (size - 1) for same, size in zip(equal, sizes, strict=True))
    total, everything = sum(shared, Counter[str]()), sum(sizes)
    expected = everything**2 - sum(n * n for n in total.values())
    alpha = 1 - disagreement * (everything - 1) / expected if expected else None
    return {"agreement": observed, "alpha": alpha}
