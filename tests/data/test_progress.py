"""The bar on a terminal, the lines elsewhere."""

import io

from rich.console import Console

from kerasgpt.data import progress
from kerasgpt.data.progress import ByteProgress


def written(monkeypatch, *, terminal: bool, seconds: float) -> str:
    """What two halves of 8 MB leave behind, the plain lines being so many seconds apart."""
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", seconds)
    file = io.StringIO()
    with ByteProgress("encoding", 8_000_000, Console(file=file, force_terminal=terminal)) as shown:
        shown.advance(4_000_000)
        shown.advance(4_000_000)
    return file.getvalue()


def test_plain_lines_say_how_far_it_is(monkeypatch):
    assert written(monkeypatch, terminal=False, seconds=0.0) == ("encoding: 4 of 8 MB\nencoding: 8 of 8 MB\n")


def test_short_work_says_nothing(monkeypatch):
    assert written(monkeypatch, terminal=False, seconds=60.0) == ""


def test_a_terminal_shows_a_bar(monkeypatch):
    text = written(monkeypatch, terminal=True, seconds=0.0)
    assert "8.0/8.0 MB" in text
    assert " of " not in text
