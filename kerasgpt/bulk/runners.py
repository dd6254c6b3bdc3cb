"""Who runs a pipeline: this process by default, else whom Beam knows by the name."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo, FnApiRunner
from apache_beam.runners.portability.portable_runner import JobServiceHandle

from kerasgpt.errors import UsageError

DIRECT = "DirectRunner"

# Each worker process would tell its life in thirty lines; an error comes back to us anyway.
QUIET = "--default_sdk_harness_log_level=CRITICAL"


def is_direct(runner: str) -> bool:
    """Whether a runner's name is that of the one which is part of Beam's Python."""
    return runner.lower() in ("direct", DIRECT.lower())


def new_pipeline(runner: str = DIRECT, options: Sequence[str] = ()) -> Any:
    """A pipeline without steps.

    Args:
        runner: DirectRunner, also in short "direct", is the one that is part of Beam's Python: in this
            process, or in several with ``--direct_running_mode=multi_processing --direct_num_workers=N``.
            (What Beam itself calls so would first look for a program to download.)
        options: as on Beam's command lines; those that come last win.

    Raises:
        UsageError: no such runner, or it refuses the options.
    """
    if is_direct(runner):
        parsed = _parsed([QUIET, *options])
        _refuse_unknown(parsed)
        return beam.Pipeline(runner=_embedded(parsed), options=parsed)
    try:
        return beam.Pipeline(options=_parsed(options, runner=runner))
    except (ValueError, ImportError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise UsageError(f"runner '{runner}': {said}") from error


@contextmanager
def opened_pipeline(runner: str = DIRECT, options: Sequence[str] = ()) -> Iterator[Any]:
    """A pipeline without steps, see `new_pipeline`; its scratch folder goes even if it is never run."""
    pipeline = new_pipeline(runner, options)
    try:
        yield pipeline
    finally:
        shutil.rmtree(pipeline.local_tempdir, ignore_errors=True)


def _parsed(options: Sequence[str], **others: str) -> PipelineOptions:
    """Beam's options; a value that one of them cannot take would end the process."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parsed = PipelineOptions([*options], **others)
            parsed.get_all_options()
    except SystemExit as end:
        reason = said.getvalue().rpartition("error: ")[2].strip()
        raise UsageError(f"{reason}; see PipelineOptions of Apache Beam") from end
    return parsed


def _embedded(options: PipelineOptions) -> FnApiRunner:
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    return FnApiRunner(
        provision_info=ExtendedProvisionInfo(beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded))
    )


def _refuse_unknown(options: PipelineOptions) -> None:
    """Refuse a misspelt option, which Beam would only pass over with a warning."""
    known = options.get_all_options(drop_default=True)
    given = options.get_all_options(drop_default=True, retain_unknown_options=True)
    for name in given.keys() - known.keys():
        raise UsageError(f"--{name}: {DIRECT} has no such option; see PipelineOptions of Apache Beam")


def cause(error: Exception) -> str:
    r"""What is wrong, out of all that Beam says about a step that failed: the last line, without its place.

    >>> cause(RuntimeError("Traceback ...\nkerasgpt.errors.UsageError: no such file [while running 'Read']"))
    'no such file'
    """
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = re.sub(r" \[while running '[^']*'\]$", "", lines[-1].strip())
    return re.sub(r"^kerasgpt\.[\w.]+: ", "", said)
