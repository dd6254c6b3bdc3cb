"""A worker process that dies ends the job with a sentence, and is no reason to wait."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kerasgpt.bulk.worker_processes import MODULE, command_line, ending

ROOT = Path(__file__).parents[2]
SEVERAL = ["--", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]


@pytest.fixture
def started(bundle, tmp_path):
    """Start a job of 64 shards in two processes, in a folder of its own; `first` come before this package."""
    (tmp_path / "in.txt").write_text("The king\n" * 64)
    batch = ["batch", str(bundle), "--input", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out")]
    command = [sys.executable, "-P", "-m", "kerasgpt", *batch, "--shard-size=1", "--max-new-tokens=80"]

    def start(*first: Path) -> subprocess.Popen:
        path = os.pathsep.join(map(str, [*first, ROOT]))
        return subprocess.Popen(
            [*command, *SEVERAL],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def workers(parent: int) -> list[int]:
    """The processes that run Beam's workers for another one, its grandchildren: a shell is between."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = status.read_text().rsplit(")", 1)
            above = int(fields.split()[1])
            command = (status.parent / "cmdline").read_bytes().split(b"\0")
            grand = int((Path("/proc") / str(above) / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        if MODULE.encode() in command and parent in (above, grand):
            found.append(int(name.split()[0]))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in Linux's /proc")
def test_a_worker_that_is_killed_ends_the_job(started, tmp_path):
    with started() as process:
        while not list(tmp_path.glob("out/part-*")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        os.kill(max(workers(process.pid)), signal.SIGKILL)
        said = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith("kerasgpt: a worker process was killed, as happens where memory runs out: give ")
    assert last.endswith(" of 64 shards are finished in " + str(tmp_path / "out") + ": go on with --resume")


def test_modules_in_the_folder_are_not_taken_for_pythons(started, tmp_path):
    (tmp_path / "random.py").write_text("raise SystemExit(3)\n")
    with started() as process:
        said = process.stderr.read()
    assert process.returncode == 0, said


def test_a_worker_that_cannot_start_ends_the_job(started, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        f"import os, sys\nif {MODULE!r} in sys.orig_argv:\n    os._exit(3)\n"
    )
    with started(broken) as process:
        said = process.stderr.read()
    assert process.returncode == 1
    assert said.splitlines()[-1] == "kerasgpt: a worker process has ended with exit code 3"


def test_a_package_that_is_only_in_this_folder_is_found_there(tmp_path):
    assert command_line(tmp_path).split()[1:] == ["-P", "-m", MODULE]
    assert command_line(ROOT).split()[1:] == ["-m", MODULE]


def test_a_kill_is_told_apart_from_an_exit():
    assert ending(-9) == ending(137) != ending(1)
