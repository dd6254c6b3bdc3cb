"""One process at a time, whatever becomes of the others."""

import shutil
import signal
import subprocess
import sys
import threading

import pytest

from kerasgpt.atomic import CannotWriteError
from kerasgpt.errors import KerasGPTError
from kerasgpt.folder_lock import held

HOLD = """
import sys, time
from pathlib import Path
from kerasgpt.folder_lock import held
with held(Path(sys.argv[1]), if_taken=None):
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
    """Hold a folder in a thread of its own; the events say when it waits and when that is done."""
    waits, entered = threading.Event(), threading.Event()

    def work():
        with held(folder, waits.set):
            entered.set()

    threading.Thread(target=work, daemon=True).start()
    return waits, entered


def test_another_waits_until_the_first_is_killed(tmp_path, holder):
    waits, entered = enter(tmp_path / "folder")
    assert waits.wait(300)
    assert not entered.wait(0.3)
    holder.send_signal(signal.SIGKILL)
    assert entered.wait(300)


def test_another_may_refuse_to_wait_and_changes_nothing(tmp_path, holder):
    def refuse():
        raise KerasGPTError("taken")

    for _ in range(2):
        with pytest.raises(KerasGPTError, match="taken"), held(tmp_path / "folder", refuse):
            pass
        assert (tmp_path / "folder").is_dir()


def test_a_folder_that_was_deleted_meanwhile_is_made_anew(tmp_path, holder):
    waits, entered = enter(tmp_path / "folder")
    assert waits.wait(300)
    shutil.rmtree(tmp_path / "folder")
    holder.kill()
    assert entered.wait(300)
    assert (tmp_path / "folder").is_dir()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(CannotWriteError, match="file/folder: cannot write"),
        held(tmp_path / "file" / "folder", if_taken=None),
    ):
        pass
