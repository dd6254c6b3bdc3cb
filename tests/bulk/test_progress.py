"""What is counted in the steps of a pipeline is what its result says."""

import apache_beam as beam
import pytest

from kerasgpt.bulk import progress
from kerasgpt.bulk.answers import Answer
from kerasgpt.bulk.progress import Distribution
from kerasgpt.bulk.records import Record, Rejected
from kerasgpt.bulk.runners import new_pipeline
from kerasgpt.protocols import Score


def answer(num_read: int, num_scored: int, is_truncated: bool = False) -> Answer:
    return Answer(Record("a:1", 0, "a"), (Score(-1.0, num_scored, True),), num_read, is_truncated)


def count(batch):
    progress.count(batch)
    progress.count_shard()


@pytest.fixture(scope="module")
def result():
    pipeline = new_pipeline()
    batches = [[answer(4, 2), answer(9, 3, True)], [Rejected("a:3", 2, "bad", "")], [answer(2, 1)]]
    counted = pipeline | beam.Create(batches) | beam.Map(count)
    _ = counted | beam.Map(lambda _: progress.count_rejected(2))
    return pipeline.run()


def test_counters_are_summed_over_steps(result):
    assert progress.counters(result) == {
        "records": 3,
        "errors": 1 + 3 * 2,
        "truncated": 1,
        "read_tokens": 15,
        "answered_tokens": 6,
        "shards": 3,
    }
    assert set(progress.counters(result)) == set(progress.COUNTERS)


def test_distributions_are_those_of_the_records(result):
    assert progress.distributions(result) == {
        "record_tokens": Distribution(3, 2, 5.0, 9),
        "answer_tokens": Distribution(3, 1, 2.0, 3),
        "batch_records": Distribution(3, 1, 1.33, 2),
    }


def test_what_was_not_counted_is_nothing():
    pipeline = new_pipeline()
    _ = pipeline | beam.Create([1])
    result = pipeline.run()
    assert progress.counters(result) == dict.fromkeys(progress.COUNTERS, 0)
    assert progress.distributions(result) == {}
