"""``kerasgpt verify``: prove that a bundle is intact and in parity."""

from __future__ import annotations

import sys

import click

from kerasgpt.commands.json_output import echo_json
from kerasgpt.export.verification import verify


@click.command("verify")
@click.argument("folder", metavar="BUNDLE")
@click.option("--strict", is_flag=True, help="An artifact that cannot be checked here counts as failed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(folder: str, strict: bool, as_json: bool) -> None:
    """Check every file's hash, then load and run every artifact in a fresh process.

    Exit code 0 only if every file is intact and every artifact that can be run here answers as the
    trained model did.
    """
    result = verify(folder, strict=strict)
    if as_json:
        echo_json(result.to_dict())
    else:
        for check in result.checks:
            click.echo(f"{check.status:12} {check.name}: {check.detail}")
    if not result.holds:
        bad = sorted({check.name for check in result.checks if check.status != "ok"})
        print(f"kerasgpt: {folder}: not verified: {', '.join(bad)}", file=sys.stderr)
        raise click.exceptions.Exit(1)
