"""A pipeline runs in this process unless another runner is named; an error is told in its own words."""

import pytest
from apache_beam.options.pipeline_options import DirectOptions, WorkerOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.portability.portable_runner import PortableRunner

from kerasgpt.bulk.runners import cause, new_pipeline
from kerasgpt.errors import UsageError


@pytest.mark.parametrize("name", ["DirectRunner", "direct", "directrunner"])
def test_the_default_runs_in_this_process(name):
    pipeline = new_pipeline(name, ["--direct_num_workers=3"])
    assert type(pipeline.runner) is FnApiRunner
    assert pipeline.options.view_as(DirectOptions).direct_num_workers == 3


def test_other_runners_are_beams():
    options = ["--job_endpoint=embed", "--environment_type=LOOPBACK"]
    assert isinstance(new_pipeline("PortableRunner", options).runner, PortableRunner)


def test_workers_are_quiet_unless_asked():
    def level(*options):
        return new_pipeline("direct", options).options.view_as(WorkerOptions).default_sdk_harness_log_level

    assert level() == "CRITICAL"
    assert level("--default_sdk_harness_log_level=INFO") == "INFO"


def test_wrong_names_are_refused():
    with pytest.raises(UsageError, match=r"runner 'SparkRuner': Unexpected pipeline runner"):
        new_pipeline("SparkRuner")
    with pytest.raises(UsageError, match="--direct_num_worker: DirectRunner has no such option"):
        new_pipeline("direct", ["--direct_num_worker=3"])
    with pytest.raises(UsageError, match="argument --direct_num_workers: invalid int value: 'abc'; see"):
        new_pipeline("direct", ["--direct_num_workers=abc"])
    with pytest.raises(UsageError, match=r"runner 'DataflowRunner': .*option: project\. [^\n]*$"):
        new_pipeline("DataflowRunner")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("Traceback\n  x\nkerasgpt.errors.UsageError: top_k is -1 [while running 'a/b']", "top_k is -1"),
        ("Traceback\nkerasgpt.bulk.answers.EngineFailedError: it (X: y)\n\n", "it (X: y)"),
        ("RuntimeError: device lost [while running 'Answer']", "RuntimeError: device lost"),
        ("", "ValueError"),
    ],
)
def test_the_cause_is_the_last_line_without_its_place(said, sentence):
    assert cause(ValueError(said)) == sentence
