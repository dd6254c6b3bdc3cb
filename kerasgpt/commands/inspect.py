"""``kerasgpt inspect``: what is in a folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from kerasgpt import artifacts
from kerasgpt.config import read_json


@click.command("inspect")
@click.argument("folder", metavar="MODEL|RUN|BUNDLE")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: str, as_json: bool) -> None:
    """Show a folder's kind, its model's shape, its files with their sizes, and its proof."""
    content = describe(Path(folder))
    if as_json:
        click.echo(json.dumps(content, ensure_ascii=False))
        return
    click.echo(f"{folder}: a {content['kind']}")
    for section in ("model", "run", "artifacts", "files"):
        if section in content:
            click.echo(f"\n{section}")
            _print_section(content[section])


def describe(folder: Path) -> dict[str, Any]:
    """Describe a folder as plain JSON values; keys carry their unit.

    Raises:
        KerasGPTError: it is neither a model folder, a run nor a bundle.
    """
    kind = artifacts.folder_kind(folder)
    content: dict[str, Any] = {"folder": str(folder), "kind": kind}
    if kind == "run" and (folder / artifacts.RUN_SUMMARY).is_file():
        content["run"] = read_json(folder / artifacts.RUN_SUMMARY)
    if kind != "run" or (folder / artifacts.RUN_MODEL / artifacts.CONFIG).is_file():
        config = artifacts.read_config(artifacts.model_folder(folder))
        content["model"] = {**dataclasses.asdict(config), "num_parameters": config.num_parameters}
    if kind == "bundle":
        content["artifacts"] = read_json(folder / artifacts.REPORT_JSON)["artifacts"]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    content["files"] = {f"{path.relative_to(folder)}": path.stat().st_size for path in files}
    return content


def _print_section(section: Any) -> None:
    if isinstance(section, list):
        for row in section:
            click.echo(f"  {row['artifact']}")
            _print_section({f"  {key}": value for key, value in row.items() if key != "artifact"})
        return
    width = max((len(key) for key in section), default=0)
    for key, value in section.items():
        is_count = isinstance(value, int) and not isinstance(value, bool)
        click.echo(f"  {key:{width}}  {f'{value:>14,}' if is_count else value}")
