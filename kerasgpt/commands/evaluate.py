"""``kerasgpt evaluate``: judge a model by a task, on any engine and in several precisions."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
import rich.progress
from rich.console import Console

from kerasgpt.artifacts import model_folder
from kerasgpt.atomic import is_stream, require_place, write_text
from kerasgpt.commands.accuracy_plot import check_plot, draw
from kerasgpt.commands.evaluation_table import table
from kerasgpt.commands.generation_settings import (
    answer_options,
    changed,
    tell_of_idle_options,
    without_words,
)
from kerasgpt.commands.several import SeveralCommand
from kerasgpt.commands.task_options import make_task, options_of
from kerasgpt.data.progress import Bar
from kerasgpt.engines import choose, load, precision_of, resolve
from kerasgpt.errors import UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tasks.evaluation import BATCH_SIZE, Result, evaluate_task
from kerasgpt.tasks.files.fingerprint import OUTCOMES, fingerprint, fingerprints

if TYPE_CHECKING:
    from kerasgpt.protocols import LanguageModel
    from kerasgpt.tasks.base import Task


class CountList(click.ParamType[Any]):
    """Whole numbers with commas between them."""

    name = "counts"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Read them, or fail naming the text."""
        try:
            return tuple(dict.fromkeys(int(each) for each in value.split(",")))
        except ValueError:
            self.fail(f"'{value}' is not a number of shots, or several such as 0,1,2,4,8", param, ctx)


@click.command("evaluate", cls=SeveralCommand)
@click.argument("folder", metavar="MODEL|RUN|BUNDLE")
@click.option("--task", default="language_modeling", show_default=True, help="What to measure.")
@click.option(
    "--data", multiple=True, required=True, metavar="PATH...", help="The task's file, or its several."
)
@click.option("--engine", default="auto", show_default=True, help="auto, onnx, saved_model or keras.")
@click.option("--precision", help="Of the exported file, or several: fp32,int8,int4.  [default: the first]")
@click.option("--limit", type=int, help="Evaluate the first N examples only.")
@click.option("--batch-size", type=int, default=BATCH_SIZE, show_default=True, help="Examples asked at once.")
@click.option(
    "--window", type=int, help="Of language modelling: tokens read at once.  [default: the context]"
)
@click.option("--stride", type=int, help="Tokens scored a step.  [default: half of the window]")
@click.option("--level", help="token: a file is one text; document: each document apart.  [default: token]")
@click.option("--detokenizer", help="wikitext or ptb: put the words of such a file together first.")
@click.option("--delimiter", help="Of multiple choice: between a question and an answer.  [default: a blank]")
@click.option("--shots", type=CountList(), help="Examples in a prompt, or several numbers: 0,1,2,4,8.")
@click.option(
    "--pool", multiple=True, metavar="PATH...", help="Files to draw them from.  [default: the data]"
)
@click.option("--template", help="Of an example, with {input} and {output}; \\n is a line's end.")
@click.option("--instruction", help="What a prompt begins with; \\n is a line's end.")
@click.option("--method", help="Of few shots: rank, generate or auto.  [default: auto]")
@click.option("--candidates", type=int, help="Answers to rank, at most.  [default: 20]")
@click.option("--calibrate", is_flag=True, default=None, help="Also rank against an input that says nothing.")
@click.option("--plot", help="Draw accuracy against shots into this file, .png, .svg or .pdf.")
@click.option(
    "--table/--no-table",
    "as_table",
    default=None,
    help="A table, or JSON lines.  [default: a table on a terminal]",
)
@click.option(
    "--json", "json_file", help="Write the results there; outcomes beside it, to go on from if killed."
)
@click.option("--restart", is_flag=True, help="Do not go on from outcomes of before.")
@answer_options
def command(
    folder: str,
    task: str,
    data: tuple[str, ...],
    engine: str,
    precision: str | None,
    limit: int | None,
    batch_size: int,
    shots: tuple[int, ...] | None,
    pool: tuple[str, ...],
    plot: str | None,
    as_table: bool | None,
    json_file: str | None,
    restart: bool,
    **given: Any,
) -> None:
    """Measure a model by a task: language_modeling, lambada, hellaswag, multiple_choice or few_shot.

    Also by those that models are trained on: completion, translation, summarization, question_answering.
    Each figure comes with where it lies in 95 of 100 resampled data sets; beside it is what costs no model,
    such as the most frequent answer. Texts are written greedily unless options of generation say otherwise,
    and as the task wants them, whatever the model's folder says.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit is {limit}: it must be 1 or more")
    if (seed := given["seed"] or 0) < 0:
        raise UsageError(f"--seed is {seed}: it must be 0 or more")
    if plot:
        check_plot(plot, shots)
    for file in filter(None, (plot, json_file)):
        require_place(file)
    own = _task_options(folder, task, {**given, "pool": pool or None})
    tasks = [make_task(task, model_folder(folder), {**own, "shots": each}) for each in shots or [None]]
    results = []
    for each in [one.strip() for one in precision.split(",")] if precision else [None]:
        chosen = choose(folder, engine)
        lm = load(folder, chosen, each)
        subject = Subject(
            folder,
            chosen,
            each or precision_of(folder, chosen),
            data,
            pool,
            limit,
            batch_size,
            seed,
            tuple(filter(None, (json_file, plot))),
        )
        for one in tasks:
            results.append(subject.evaluate(one, lm, json_file, restart))
    if json_file:
        write_text(json_file, "".join(f"{json.dumps(result)}\n" for result in results))
    if plot:
        draw(plot, results)
    if sys.stdout.isatty() if as_table is None else as_table:
        Console().print(table(results))
    else:
        click.echo("\n".join(map(json.dumps, results)))


@dataclass(frozen=True)
class Subject:
    """What is evaluated, but for the task: all that a result depends on."""

    folder: str
    engine: str
    precision: str
    data: tuple[str, ...]
    pool: tuple[str, ...]
    limit: int | None
    batch_size: int
    seed: int
    written: tuple[str, ...]

    def evaluate(
        self, task: Task[Any], lm: LanguageModel, json_file: str | None, restart: bool
    ) -> dict[str, Any]:
        """Evaluate a task, with outcomes kept beside the result's file; gives the result's JSON form."""
        file = _outcomes_file(json_file, self.precision, getattr(task, "shots", None))
        read = self._fingerprints() if file else {}
        examples = task.read(self.data, lm)[: self.limit]
        settings = {**dataclasses.asdict(cast(Any, task)), "seed": self.seed, "limit": self.limit}
        content = {
            "task": task.name,
            "model": self.folder,
            "engine": self.engine,
            "precision": self.precision,
            "num_examples": len(examples),
        }
        if file and restart:
            file.unlink(missing_ok=True)
        with _bar(f"{task.name} {self.precision}", len(examples)) as bar:
            result = evaluate_task(
                task,
                lm,
                examples,
                seed=self.seed,
                batch_size=self.batch_size,
                file=file,
                subject={**content, "settings": settings, **read} if file else None,
                progress=lambda done: bar.show(done, f"{task.name}: {done:,} of {len(examples):,} examples"),
            )
        return {**content, **_figures(result), "settings": _said(settings), "data": list(self.data)}

    def _fingerprints(self) -> dict[str, Any]:
        """Of what is read: names of files may change, what they hold not."""
        return {
            "model": fingerprint(model_folder(self.folder), self.written),
            "data": fingerprints(self.data),
            "pool": fingerprints(self.pool),
            "batch_size": self.batch_size,  # rows that are read together are rounded together
        }


def _task_options(folder: str, task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a task, by the names of its parameters; those of generation become `settings`."""
    fields = {field.name for field in dataclasses.fields(GenerationConfig)} | {"bad_words"}
    writing = {name: value for name, value in given.items() if name in fields and name != "seed"}
    own = {name: value for name, value in given.items() if name not in fields}
    for name in ("template", "instruction"):
        own[name] = own[name] and own[name].replace("\\n", "\n")
    if "seed" in options_of(task):
        own["seed"] = given["seed"]
    if any(value not in (None, ()) for value in writing.values()):
        words = writing.pop("bad_words")
        plain = make_task(task, model_folder(folder), own)
        # What a task that writes has of its own; make_task refuses the options where it writes nothing.
        settings = changed(getattr(plain, "writing", GenerationConfig()), {**writing, "seed": given["seed"]})
        tell_of_idle_options(writing, settings)
        if words:
            settings = without_words(words, resolve("kerasgpt:Tokenizer").from_preset(folder), settings)
        own["settings"] = settings
    return own


def _outcomes_file(json_file: str | None, precision: str, shots: int | None) -> Path | None:
    """Beside the result: ``result.int8.4-shots.outcomes.jsonl``; none where that is no file."""
    if json_file is None or is_stream(json_file):
        return None
    name = f"{Path(json_file).stem}.{precision}" + (f".{shots}-shots" if shots is not None else "")
    return Path(json_file).with_name(f"{name}{OUTCOMES}")


def _bar(label: str, total: int) -> Bar:
    return Bar(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(bar_width=20),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
        total=total,
        task=label,
        console=Console(stderr=True),
        waits=True,
    )


def _figures(result: Result) -> dict[str, Any]:
    baselines = {name: dataclasses.asdict(summary) for name, summary in result.baselines.items()}
    return {**dataclasses.asdict(result.summary), "baselines": baselines}


def _said(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that say something."""
    return {name: value for name, value in settings.items() if value not in (None, (), "")}
