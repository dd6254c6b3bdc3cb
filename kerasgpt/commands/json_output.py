"""JSON lines on standard output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from kerasgpt.artifacts import json_text


def echo_json(content: Mapping[str, Any]) -> None:
    """Print an object as one line, as `kerasgpt.artifacts.json_text` has it."""
    click.echo(json_text(content, indent=None), nl=False)
