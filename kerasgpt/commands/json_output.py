"""JSON lines on standard output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click


def echo_json(content: Mapping[str, Any]) -> None:
    """Print an object as one line, its texts as they are; half a surrogate pair as JSON's escape of it.

    That one is no character and has no UTF-8, so that it cannot be printed otherwise.
    """
    line = json.dumps(content, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        line = json.dumps(content)
    click.echo(line)
