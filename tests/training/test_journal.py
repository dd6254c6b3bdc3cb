"""metrics.jsonl and its drawing."""

import json

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.training import journal
from kerasgpt.training.journal import Journal, draw_losses, read_journal


def test_each_record_is_on_disk_at_once(tmp_path):
    journal = Journal(tmp_path / "metrics.jsonl")
    for step in (1, 2):
        journal.write({"step": step, "loss": 1.5})
        assert [record["step"] for record in read_journal(journal.path)] == list(range(1, step + 1))


def test_going_on_drops_what_came_after_the_checkpoint(tmp_path):
    journal = Journal(tmp_path / "metrics.jsonl")
    for step in (1, 2, 2, 3):
        journal.write({"step": step})
    journal = Journal(journal.path, step=2)
    journal.write({"step": 3, "loss": 9.0})
    assert read_journal(journal.path) == [{"step": 1}, {"step": 2}, {"step": 2}, {"step": 3, "loss": 9.0}]


def test_listeners_hear_what_is_written_and_what_is_dropped(tmp_path):
    journal, heard = Journal(tmp_path / "metrics.jsonl"), []
    journal.listeners.append(heard.append)
    journal.when_dropped.append(heard.append)
    journal.write({"step": 5, "loss": 1.0, "grad_norm": float("inf")})
    journal.drop_after(4)
    assert heard == [{"step": 5, "loss": 1.0}, 4]


def test_a_torn_last_line_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + '\n{"step": 2, "lo')
    assert read_journal(path) == [{"step": 1}]
    assert read_journal(tmp_path / "none") == []


def test_a_journal_that_cannot_be_written_is_a_sentence(tmp_path):
    journal = Journal(tmp_path / "metrics.jsonl")
    journal.path.unlink()
    journal.path.mkdir()
    with pytest.raises(KerasGPTError, match=r"metrics\.jsonl: cannot write"):
        journal.write({"step": 1})


def test_losses_are_drawn(tmp_path):
    path = tmp_path / "loss.png"
    records = [{"step": step, "loss": 5.0 / step} for step in range(1, 9)]
    draw_losses([*records, {"step": 8, "validation_loss": 1.0}, {"step": 9, "loss": float("nan")}], path)
    assert path.read_bytes().startswith(b"\x89PNG")
    draw_losses([], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_nothing_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "CAN_DRAW", False)
    draw_losses([{"step": 1, "loss": 2.0}], tmp_path / "loss.png")
    assert not any(tmp_path.iterdir())
