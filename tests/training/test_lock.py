"""One writer a folder, and order after a death."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.training.lock import locked, put_right

HOLD = """
import sys
from pathlib import Path
from kerasgpt.training.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    yield child
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()


def test_a_folder_that_another_process_holds_is_refused_until_that_ends_however_it_ends(tmp_path, holder):
    for _ in range(2):  # who is refused leaves the lock where it is
        with (
            pytest.raises(KerasGPTError, match="another process trains in this folder"),
            locked(tmp_path / "run"),
        ):
            pass
    holder.kill()
    holder.wait()
    with locked(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()


def test_a_folder_that_stays_empty_is_taken_away(tmp_path):
    with locked(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "config.toml").touch()
    assert (tmp_path / "run" / "config.toml").exists()


def test_a_file_in_its_place_is_a_sentence(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(KerasGPTError, match="run: cannot write"), locked(tmp_path / "run"):
        pass


def test_what_a_death_left_half_done_is_finished_or_undone(tmp_path):
    aside = tmp_path / ".model.tmp-abc"
    (aside / "old").mkdir(parents=True)
    (aside / "old" / "weights").write_text("old")
    (tmp_path / ".summary.json.tmp-xyz").touch()
    half = tmp_path / "checkpoints" / ".step-00000003.tmp-q"
    half.mkdir(parents=True)
    (half / "variables").touch()
    (tmp_path / "checkpoints" / "step-00000002").mkdir()
    put_right(tmp_path)
    assert (tmp_path / "model" / "weights").read_text() == "old"
    names = sorted(path.name for path in tmp_path.rglob("*"))
    assert names == ["checkpoints", "model", "step-00000002", "weights"]


def test_what_a_run_does_not_write_is_not_touched(tmp_path):
    (tmp_path / ".photos.tmp-backup").mkdir()
    (tmp_path / ".notes.tmp-2024").touch()
    with locked(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.tmp-2024", ".photos.tmp-backup"]


def test_an_old_folder_whose_new_one_is_there_is_deleted(tmp_path):
    (tmp_path / ".model.tmp-abc" / "old").mkdir(parents=True)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "new").touch()
    put_right(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "new").exists()


def test_a_folder_that_was_there_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    with locked(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()
    with locked(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()


def test_it_hides_no_error_where_the_folder_cannot_be_taken_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KerasGPTError, match="of the data"), locked(Path(".")):
        raise KerasGPTError("of the data")
