"""``kerasgpt train``: learn a GPT-2 from text, or go on learning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from kerasgpt.artifacts import RUN_CONFIG
from kerasgpt.commands.several import SeveralCommand
from kerasgpt.errors import UsageError
from kerasgpt.extras import require

RECIPES = (
    "completion",
    "copying",
    "finetune-lora",
    "gpt2-124m-owt",
    "question-answering",
    "shakespeare-bpe",
    "shakespeare-char",
    "summarization",
    "tinystories-10m",
    "tinystories-6m",
    "translation",
    "wikitext-124m",
)
"""Those that come with the package; written out, so that --help is quick."""

TASKS = {
    "completion": "completion",
    "translation": "translation",
    "summarization": "summarization",
    "question_answering": "question-answering",
}
"""Task -> the recipe that it has unless another is given."""


@click.command("train", cls=SeveralCommand)
@click.option(
    "--data", "paths", multiple=True, metavar="PATH...", help="Files of text, JSON lines, parquet or ids."
)
@click.option("--out", required=True, help="Folder of the run.")
@click.option(
    "--task", type=click.Choice(list(TASKS)), help="Fine-tune on a task's files; see docs/tasks.md."
)
@click.option(
    "--validation-data", multiple=True, metavar="PATH...", help="Of a task: to choose the best model on."
)
@click.option("--preset", help="Size of a new model, such as gpt-nano or gpt2.  [default: gpt-mini]")
@click.option("--init", help="Model folder whose weights to start from.")
@click.option("--config", help=f"A recipe in TOML, or one of {', '.join(RECIPES)}.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Such as train.steps=500.")
@click.option("--errors", type=click.Choice(["strict", "replace"]), help="On bad UTF-8.  [default: strict]")
@click.option("--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True)
@click.option("--resume", is_flag=True, help="Go on with the run in --out; start it if there is none.")
@click.option("--force", is_flag=True, help="Resume with another recipe, or with data that has changed.")
def command(
    out: str,
    config: str | None,
    task: str | None,
    validation_data: tuple[str, ...],
    settings: tuple[str, ...],
    device: str,
    resume: bool,
    force: bool,
    paths: tuple[str, ...],
    **given: Any,
) -> None:
    """Learn a vocabulary and a model from text; keep the best model in the run's folder model/.

    Settings come from the recipe (--config), then the options, then --set. With --resume and no recipe
    they are those the run was begun with. Interrupted by Ctrl-C, a run saves itself first; killed, it
    goes on from its last checkpoint, to the very same numbers.
    """
    require("keras", "train", "training")
    from kerasgpt.training.config import Recipe, read_toml
    from kerasgpt.training.journal import CAN_DRAW
    from kerasgpt.training.recipes import recipe_file, task_recipe, without_size
    from kerasgpt.training.train import train

    overrides = [*_as_settings(paths, task, validation_data, **given), *settings]
    begun = Path(out) / RUN_CONFIG
    if config is None and resume and begun.is_file():
        config = str(begun)
    if config:
        file = recipe_file(config)
        tables = without_size(file) if given["preset"] else read_toml(file)
        recipe = Recipe.from_dict(tables, overrides)
    else:
        has_model = bool(given["preset"] or given["init"])
        recipe = Recipe.from_dict(task_recipe(TASKS[task], has_model) if task else {}, overrides)
    if resume and not begun.is_file() and not recipe.data.paths:
        raise UsageError(f"{out}: no run there to go on with; to start one, name --data")
    if not CAN_DRAW:
        click.echo("kerasgpt: without pictures of the losses: matplotlib is not installed", err=True)
    run = train(recipe, out, resume=resume, force=force, device=device)
    click.echo(json.dumps(run.summary, indent=2))


def _as_settings(
    paths: tuple[str, ...],
    task: str | None,
    validation_data: tuple[str, ...],
    preset: str | None,
    init: str | None,
    errors: str | None,
) -> list[str]:
    """The options as settings of a recipe."""
    table = {
        "data.paths": list(paths),
        "task.name": task,
        "task.validation_paths": list(validation_data),
        "data.errors": errors,
        "model.preset": preset,
        "model.init": init,
    }
    return [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in table.items() if value]
