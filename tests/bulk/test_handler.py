"""A bundle in a pipeline of one's own, with keys or without; and a shard at a time."""

import apache_beam as beam
import pytest
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference
from apache_beam.testing.util import assert_that

from kerasgpt import GenerationConfig, load
from kerasgpt.bulk import progress
from kerasgpt.bulk.handler import BundleHandler, ShardHandler
from kerasgpt.bulk.records import Record, Rejected
from kerasgpt.bulk.runners import new_pipeline
from kerasgpt.bulk.shards import ShardEntries
from kerasgpt.errors import UsageError

PROMPTS = ["The king", "a", "ROMEO:\nBut soft", "What news", ""]
SETTINGS = GenerationConfig(max_new_tokens=6, temperature=0.9, seed=3)


@pytest.fixture
def expected(bundle) -> dict[str, str]:
    texts = load(bundle).generate(PROMPTS, SETTINGS)
    return {prompt: generation.text for prompt, generation in zip(PROMPTS, texts, strict=True)}


def records() -> list[Record]:
    return [Record(f"mine:{number}", number, prompt) for number, prompt in enumerate(PROMPTS)]


def said(found: PredictionResult) -> tuple[str, str]:
    assert found.example == found.inference.record
    return found.example.prompt, found.inference.results[0].text


def same(expected):
    def check(found):
        assert dict(found) == expected

    return check


@pytest.mark.parametrize("share_model", [False, True])
def test_records_in_answers_out(bundle, expected, share_model):
    handler = BundleHandler(bundle, settings=SETTINGS, batch_size=2, share_model=share_model)
    pipeline = new_pipeline()
    answers = pipeline | beam.Create(records()) | RunInference(handler) | beam.Map(said)
    assert_that(answers, same(expected))
    result = pipeline.run()
    assert progress.counters(result)["records"] == 5
    (own,) = result.metrics().query(beam.metrics.MetricsFilter().with_name("num_inferences"))["counters"]
    assert (own.key.metric.namespace, own.result) == ("kerasgpt.RunInference", 5)


def test_keys_stay_with_their_records(bundle, expected):
    keyed = [(record.prompt[::-1], record) for record in records()]
    pipeline = new_pipeline()
    answers = (
        pipeline
        | beam.Create(keyed)
        | RunInference(KeyedModelHandler(BundleHandler(bundle, settings=SETTINGS)))
    )
    texts = answers | beam.MapTuple(lambda key, found: (key[::-1], found.inference.results[0].text))
    assert_that(texts, same(expected))
    pipeline.run()


def test_batches_are_large_enough_to_be_sorted_by_length(bundle):
    kwargs = BundleHandler(bundle, batch_size=4).batch_elements_kwargs()
    assert kwargs == {"min_batch_size": 32, "max_batch_size": 32}


def test_a_shard_keeps_its_order_and_what_is_rejected(bundle, expected):
    bad = Rejected("mine:9", 9, "not UTF-8", "?")
    shard = ShardEntries(4, (*records()[:2], bad, *records()[2:]))
    handler = ShardHandler(BundleHandler(bundle, settings=SETTINGS, batch_size=2))
    assert handler.should_skip_batching()
    pipeline = new_pipeline()

    def check(found):
        (answered,) = found
        assert (answered.number, answered.entries[2]) == (4, bad)
        answers = [entry for entry in answered.entries if entry != bad]
        assert [each.index for each in answers] == [0, 1, 2, 3, 4]
        assert {each.record.prompt: each.results[0].text for each in answers} == expected

    assert_that(pipeline | beam.Create([shard]) | RunInference(handler), check)
    assert progress.counters(pipeline.run())["records"] == 5


def test_a_shared_model_is_asked_for_by_either_handler(bundle):
    for share in (False, True):
        base = BundleHandler(bundle, share_model=share)
        assert base.share_model_across_processes() is share
        assert ShardHandler(base).share_model_across_processes() is share


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"task": "summarize"}, "unknown task 'summarize'"),
        ({"batch_size": 0}, "batch_size is 0: it must be 1 or more"),
    ],
    ids=str,
)
def test_what_it_cannot_do_is_refused_where_it_is_made(words, sentence):
    with pytest.raises(UsageError, match=sentence):
        BundleHandler("bundle", **words)
