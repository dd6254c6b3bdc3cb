"""One process at a time, whatever becomes of the others."""

import shutil
import signal
import subprocess
import sys
import threading

import pytest

from kerasgpt.atomic import CannotWriteError
from kerasgpt.data.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from kerasgpt.data.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "folder")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def enter(folder):
    """Lock a folder in a thread of its own; the event says when that is done."""
    entered = threading.Event()

    def work():
        with locked(folder):
            entered.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return entered


def test_another_waits_until_the_first_is_killed(tmp_path, holder, capfd):
    entered = enter(tmp_path / "folder")
    assert not entered.wait(0.3)
    holder.send_signal(signal.SIGKILL)
    assert entered.wait(300)
    assert "another process is at work here; waiting for it" in capfd.readouterr().err


def test_a_folder_that_was_deleted_meanwhile_is_made_anew(tmp_path, holder):
    entered = enter(tmp_path / "folder")
    assert not entered.wait(0.3)
    shutil.rmtree(tmp_path / "folder")
    holder.kill()
    assert entered.wait(300)
    assert (tmp_path / "folder").is_dir()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(CannotWriteError, match="file/folder: cannot write"),
        locked(tmp_path / "file" / "folder"),
    ):
        pass
