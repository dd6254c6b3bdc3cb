"""``kerasgpt evaluate``: measure a model on a text, on any engine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kerasgpt.artifacts import write_json
from kerasgpt.engines import choose, load
from kerasgpt.errors import KerasGPTError, unknown_name
from kerasgpt.tasks import language_modeling

TASKS = {"language_modeling": language_modeling.evaluate}


@click.command("evaluate")
@click.argument("folder", metavar="MODEL|RUN|BUNDLE")
@click.option("--task", default="language_modeling", show_default=True, help="What to measure.")
@click.option("--data", required=True, help="A text file.")
@click.option("--engine", default="auto", show_default=True, help="auto, onnx, saved_model or keras.")
@click.option("--precision", help="Of the exported file; default: the first there is.")
@click.option("--json", "json_file", help="Write the result to this file too.")
def command(
    folder: str, task: str, data: str, engine: str, precision: str | None, json_file: str | None
) -> None:
    """Score every byte of a text once, with a sliding window: loss, perplexity, bits per byte."""
    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    text = _read(data)
    chosen = choose(folder, engine)
    lm = load(folder, chosen, precision)
    metrics = TASKS[task](lm, text)
    content = {
        "task": task,
        "model": folder,
        "engine": chosen,
        "precision": precision or "fp32",
        "num_examples": 1,
        "metrics": metrics,
        "intervals": {},
    }
    if json_file:
        write_json(json_file, content)
    click.echo(json.dumps(content))


def _read(path: str) -> str:
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        raise KerasGPTError(f"{path}: cannot read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise KerasGPTError(f"{path}: not UTF-8 at byte {error.start}; convert it first") from error
    if not text:
        raise KerasGPTError(f"{path}: is empty; give a text to measure on")
    return text
