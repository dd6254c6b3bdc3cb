"""``kerasgpt batch``: continue or score files of texts with Apache Beam, shard by shard."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from kerasgpt.commands.generation_settings import (
    generation_options,
    settings_of,
    tell_of_idle_options,
    without_words,
)
from kerasgpt.commands.several import SeveralCommand
from kerasgpt.engines import resolve
from kerasgpt.errors import UsageError, counted
from kerasgpt.extras import require

if TYPE_CHECKING:
    from kerasgpt.bulk.pipeline import Summary


@click.command("batch", cls=SeveralCommand)
@click.argument("bundle", metavar="BUNDLE")
@click.argument("options", metavar="[-- BEAM OPTIONS]", nargs=-1, type=click.UNPROCESSED)
@click.option("--input", "inputs", multiple=True, required=True, metavar="PATH...", help="Files or patterns.")
@click.option("--output", required=True, help="Folder of the answers.")
@click.option("--task", default="generate", show_default=True, help="generate or score.")
@click.option("--resume", is_flag=True, help="Go on with a job that was stopped: skip what is finished.")
@click.option("--runner", default="DirectRunner", show_default=True, help="Of Beam; the default is local.")
@click.option("--engine", default="auto", show_default=True, help="auto, onnx, saved_model or keras.")
@click.option("--precision", help="Of the exported file; default: the first there is.")
@click.option("--num-threads", type=int, help="Threads of ONNX Runtime.  [default: one for each core]")
@click.option("--shard-size", type=int, default=256, show_default=True, help="Records written together.")
@click.option("--batch-size", type=int, default=32, show_default=True, help="Records read together, at most.")
@click.option(
    "--share-model", is_flag=True, help="One copy of the model for all worker processes of a machine."
)
@generation_options
@click.option(
    "--no-template", is_flag=True, help="Take prompts as they are, whatever the model was tuned on."
)
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as one JSON object.")
@click.pass_context
def command(
    context: click.Context,
    /,
    bundle: str,
    options: tuple[str, ...],
    inputs: tuple[str, ...],
    output: str,
    task: str,
    resume: bool,
    runner: str,
    engine: str,
    precision: str | None,
    num_threads: int | None,
    shard_size: int,
    batch_size: int,
    share_model: bool,
    bad_words: tuple[str, ...],
    no_template: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Answer every line of the inputs: a prompt, or in .jsonl {"prompt"} or {"prompt", "continuation"}.

    A .gz is unpacked. A model that was fine-tuned on a task takes raw input, as with `generate`: the text, or
    where the task has several fields a JSON object of them; in .jsonl also a line of these fields alone.

    Each shard of records becomes a file of JSON lines in the output folder, as `generate --json` and `score`
    print them and with an id, FILE:LINE; bad records come to a file of errors beside it. What follows -- goes
    to Beam, such as --direct_num_workers=2.
    """
    require("apache_beam", "beam", "bulk work")
    if options and not options[0].startswith("--"):
        raise UsageError(
            f"'{options[0]}' is one too many: name files with --input, and Beam's options after --"
        )
    _refuse_settings(task, given, bad_words)
    settings = settings_of(bundle, given)
    tell_of_idle_options(given, settings)
    if bad_words:
        settings = without_words(bad_words, resolve("kerasgpt:Tokenizer").from_preset(bundle), settings)
    with _quiet(context.find_root().params["debug"]):
        job = resolve("kerasgpt.bulk.job:Job")(
            bundle,
            inputs,
            output,
            task,
            settings,
            engine,
            precision,
            shard_size,
            batch_size,
            use_template=not no_template,
        )
        summary: Summary = resolve("kerasgpt.bulk.pipeline:run")(
            job,
            resume=resume,
            runner=runner,
            options=options,
            num_threads=num_threads,
            share_model=share_model,
        )
    for line in _sentences(summary):
        click.echo(line, err=True)
    click.echo(json.dumps(dataclasses.asdict(summary)) if as_json else summary.output)


def _refuse_settings(task: str, given: dict[str, Any], bad_words: tuple[str, ...]) -> None:
    """Refuse settings of generation where nothing is generated."""
    for name, value in {**given, "bad_word": bad_words}.items():
        if task == "score" and value not in (None, ()):
            raise UsageError(f"--{name.replace('_', '-')}: says how to generate, and --task is score")


def _sentences(summary: Summary) -> Iterator[str]:
    """What came of it, for a person."""
    done = summary.counters
    skipped = f", {summary.num_skipped_shards} finished before" if summary.num_skipped_shards else ""
    yield f"{done['shards']} of {summary.num_shards} shards written{skipped}"
    if not done["shards"]:
        return
    tokens = done["answered_tokens"]
    yield (
        f"{counted(done['records'], 'record')} of {counted(done['read_tokens'], 'token')},"
        f" answered by {counted(tokens, 'token')}"
        f" in {summary.seconds:.1f} s ({tokens / max(summary.seconds, 1e-3):,.0f} a second)"
    )
    if "record_tokens" in summary.distributions:
        asked, answered = summary.distributions["record_tokens"], summary.distributions["answer_tokens"]
        yield (
            f"tokens of a record: {asked.min} to {asked.max}, {asked.mean:g} on average;"
            f" of its answer: {answered.min} to {answered.max}, {answered.mean:g}"
        )
    if done["truncated"]:
        yield f"{counted(done['truncated'], 'record')} longer than the context: only a part of each was read"
    if done["errors"]:
        yield f"{counted(done['errors'], 'record')} without an answer: see errors-*.jsonl in {summary.output}"


@contextmanager
def _quiet(debug: bool) -> Iterator[None]:
    """Keep Beam's log to itself, whose every failure is told three times and in one sentence by us."""
    before = logging.root.manager.disable
    if not debug:
        logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
