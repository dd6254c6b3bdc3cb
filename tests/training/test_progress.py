"""What is shown on a terminal and off it."""

import io

import pytest
from rich.console import Console

from kerasgpt.training import progress as module
from kerasgpt.training.progress import Progress


def _console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, no_color=True)


@pytest.mark.parametrize("terminal", [False, True])
def test_losses_speed_time_left_and_samples_are_shown(terminal):
    console = _console(terminal)
    with Progress(10, console=console) as progress:
        progress.step(5, loss=2.5, tokens_per_second=12345.6)
        progress.evaluation(5, "To be,\nor not", validation_loss=3.25, bits_per_byte=2.125)
    shown = console.file.getvalue()
    for text in ("loss 2.500", "tokens per second 12,346", "validation loss 3.250", "bits per byte 2.125"):
        assert text in shown
    for text in ("step 5/10", "-:-- left", "| To be,", "| or not"):
        assert text in shown


def test_off_a_terminal_lines_are_rare(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    console = _console(False)
    with Progress(10, console=console) as progress:
        for step in range(1, 11):
            clock[0] += 2.0
            progress.step(step, loss=1.0)
    steps = [line.split()[1] for line in console.file.getvalue().splitlines()]
    assert steps == ["1/10", "4/10", "7/10", "10/10"]


def test_time_left_counts_from_the_first_step_of_this_sitting(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    console = _console(False)
    with Progress(100, first_step=50, console=console) as progress:
        clock[0] = 30.0  # compiling
        progress.step(51, loss=1.0)
        clock[0] = 90.0
        progress.step(61, loss=1.0)
    assert "3:54 left" in console.file.getvalue()


def test_quiet_shows_nothing(capsys):
    with Progress(2, quiet=True) as progress:
        progress.step(1, loss=1.0)
        progress.evaluation(1, "text", validation_loss=1.0)
        progress.note("note")
    assert capsys.readouterr() == ("", "")
