"""``kerasgpt export``: a model or run becomes one verified bundle."""

from __future__ import annotations

import click

from kerasgpt.artifacts import FORMATS
from kerasgpt.engines import resolve
from kerasgpt.errors import unknown_name
from kerasgpt.extras import require


@click.command("export")
@click.argument("source", metavar="MODEL|RUN")
@click.option("--out", required=True, help="Folder of the bundle; a bundle that is there is replaced.")
@click.option("--formats", default=",".join(reversed(FORMATS)), show_default=True, help="Comma-separated.")
@click.option("--precisions", default="fp32", show_default=True, help="Comma-separated.")
def command(source: str, out: str, formats: str, precisions: str) -> None:
    """Write the formats, load each in a fresh process, compare it with the model, then keep it.

    Nothing is left behind when an artifact differs from the trained model.
    """
    names = _names(formats)
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    require("keras", "export", "exporting")
    export_folder = resolve("kerasgpt.export.pipeline:export_folder")
    export_folder(source, out, names, _names(precisions), tell=lambda line: click.echo(line, err=True))
    click.echo(out)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
