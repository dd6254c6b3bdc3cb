"""A bulk job that is killed, twice, and gone on with has the very bytes of one that was left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = ["--shard-size", "3", "--max-new-tokens", "60", "--temperature", "0.9", "--seed", "3"]
NUM_SHARDS = 24


@pytest.fixture
def batch(bundle, tmp_path):
    """The words of a job over enough prompts that there is time to kill it."""
    prompts = [f"Scene {number}. {'Enter the king. ' * (number % 4)}" for number in range(3 * NUM_SHARDS)]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts) + "\n")

    def words(output: str, *more: str) -> list[str]:
        inputs = ["--input", str(tmp_path / "prompts.txt"), "--output", str(tmp_path / output)]
        return [sys.executable, "-m", "kerasgpt", "batch", str(bundle), *inputs, *SETTINGS, *more]

    return words


def start(words: list[str]) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_after(words: list[str], folder: Path, num_parts: int) -> int:
    """Kill a job as soon as it has so many shards: how many it left."""
    process = start(words)
    try:
        while len(list(folder.glob("part-*"))) < num_parts:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    return len(list(folder.glob("part-*")))


@pytest.mark.slow
def test_killed_twice_and_gone_on_with_it_is_the_same(batch, tmp_path):
    folder = tmp_path / "killed"
    first = kill_after(batch("killed"), folder, 2)
    assert 2 <= first < NUM_SHARDS
    (folder / ".part-00023-of-00024.jsonl.tmp-killed").write_text('{"id": "half a li')
    times = {path: path.stat().st_mtime_ns for path in folder.glob("part-*")}
    second = kill_after(batch("killed", "--resume"), folder, first + 2)
    assert first + 2 <= second < NUM_SHARDS

    last = start(batch("killed", "--resume"))
    out, err = last.communicate()
    assert (last.returncode, out) == (0, f"{folder}\n"), err
    assert err.startswith(f"{NUM_SHARDS - second} of {NUM_SHARDS} shards written, {second} finished before\n")
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())

    alone = start(batch("alone"))
    alone.communicate()
    assert alone.returncode == 0
    expected = {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir()}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == expected
    lines = [
        line for name in sorted(expected) if "part" in name for line in expected[name].split(b"\n") if line
    ]
    assert [json.loads(line)["id"] for line in lines] == [
        f"prompts.txt:{n + 1}" for n in range(3 * NUM_SHARDS)
    ]
