"""What has been done, as Beam metrics while it runs and as a summary at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apache_beam.metrics import Metrics, MetricsFilter

from kerasgpt.bulk.answers import Answer
from kerasgpt.bulk.records import Rejected

NAMESPACE = "kerasgpt"

COUNTERS = ("records", "errors", "truncated", "read_tokens", "answered_tokens", "shards")
"""Counters: answered records; rejected ones; those that did not fit into the context; tokens that answered
records have, and that were written or scored for them; shards written."""

DISTRIBUTIONS = ("record_tokens", "answer_tokens", "batch_records")
"""Distributions: tokens of a record; tokens written or scored for it; records handed to the model at once."""


@dataclass(frozen=True)
class Distribution:
    """A distribution's numbers."""

    count: int
    min: int
    mean: float
    max: int


def count(outcomes: Sequence[Answer | Rejected]) -> None:
    """Count what a batch came to, in the step that runs."""
    answers = [each for each in outcomes if isinstance(each, Answer)]
    _add("records", len(answers))
    _add("errors", len(outcomes) - len(answers))
    _add("truncated", sum(each.is_truncated for each in answers))
    _add("read_tokens", sum(each.num_read_tokens for each in answers))
    _add("answered_tokens", sum(each.num_answered_tokens for each in answers))
    _see("batch_records", len(outcomes))
    for each in answers:
        _see("record_tokens", each.num_read_tokens)
        _see("answer_tokens", each.num_answered_tokens)


def count_rejected(number: int) -> None:
    """Count records that could not be read, in the step that runs."""
    _add("errors", number)


def count_shard() -> None:
    """Count a shard that is written, in the step that runs."""
    _add("shards", 1)


def counters(result: Any) -> dict[str, int]:
    """All counters of a pipeline's result; 0 for one that a runner does not give."""
    totals = dict.fromkeys(COUNTERS, 0)
    for each in _query(result)["counters"]:  # of each step apart
        totals[each.key.metric.name] += int(each.result or 0)
    return totals


def distributions(result: Any) -> dict[str, Distribution]:
    """The distributions of a pipeline's result that have any numbers."""
    found = {each.key.metric.name: each.result for each in _query(result)["distributions"]}
    return {
        name: Distribution(found[name].count, found[name].min, round(found[name].mean, 2), found[name].max)
        for name in DISTRIBUTIONS
        if found.get(name) is not None and found[name].count
    }


def _query(result: Any) -> Any:
    return result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))


def _add(name: str, number: int) -> None:
    Metrics.counter(NAMESPACE, name).inc(number)


def _see(name: str, number: int) -> None:
    Metrics.distribution(NAMESPACE, name).update(number)
