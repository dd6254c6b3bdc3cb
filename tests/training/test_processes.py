"""Processes agree: what one cannot do, none does; and a user who stops one stops all."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.training.journal import read_journal
from kerasgpt.training.processes import (
    any_of,
    are_named,
    first_alone,
    is_first,
    join,
    num_processes,
    read,
    require_same,
    together,
)

NAMES = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
PAGE = Path(__file__).parents[2] / "docs" / "training-on-many-devices.md"

# Large enough for two to share, and with something of everything that only the first may do.
SETTINGS = (
    "train.steps=12",
    "train.batch_size=4",
    "train.log_every=2",
    "train.distribution=data",
    "train.jit_compile=true",
    "data.test_fraction=0.1",
)


@pytest.fixture
def name(monkeypatch):
    def set_names(**values):
        for key in NAMES:
            monkeypatch.delenv(f"KERAS_DISTRIBUTION_{key}", raising=False)
        for key, value in values.items():
            monkeypatch.setenv(f"KERAS_DISTRIBUTION_{key}", value)

    set_names()
    return set_names


def test_a_process_that_nobody_named_is_alone(name):
    assert are_named() == 1
    join()
    assert (num_processes(), is_first(), any_of(True), any_of(False)) == (1, True, True, False)
    require_same({"data": "any"})


def test_the_names_are_keras_own(name):
    name(JOB_ADDRESSES="10.0.0.1:1234", NUM_PROCESSES="3", PROCESS_ID="2")
    assert are_named() == 3


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"NUM_PROCESSES": "2"}, "JOB_ADDRESSES is '': .* the host:port of the first"),
        ({"JOB_ADDRESSES": "a:1", "NUM_PROCESSES": "two", "PROCESS_ID": "0"}, "NUM_PROCESSES is 'two'"),
        ({"JOB_ADDRESSES": "a:1", "NUM_PROCESSES": "2", "PROCESS_ID": "2"}, "is 2 of 2: .* from 0 to 1"),
    ],
)
def test_processes_named_in_part_are_refused(name, values, sentence):
    name(**values)
    with pytest.raises(UsageError, match=sentence):
        are_named()


def test_alone_a_failure_is_what_it_was():
    with pytest.raises(KeyError, match="lost"), together():
        raise KeyError("lost")
    with together():
        pass


def test_alone_a_process_has_all_weights():
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    model = keras.Sequential([layer])
    copy = read(layer.kernel)
    np.testing.assert_array_equal(copy, layer.kernel.numpy())
    layer.kernel.assign(layer.kernel + 1)
    assert (copy != layer.kernel.numpy()).all()
    with first_alone(model) as is_writing:
        assert is_writing


@pytest.mark.slow
def test_interrupted_in_one_process_a_run_stops_in_both_and_resumes_exactly(pair, tmp_path):
    assert [found["error"] for found in pair("whole", *SETTINGS)] == ["", ""]
    both = pair("parts", *SETTINGS, events=(("never", "0"), ("interrupt", "5")))
    for found in both:
        assert "stopped at step 6 of 12, and all is saved" in found["error"]
    assert [found["error"] for found in pair("parts", *SETTINGS)] == ["", ""]
    losses = [
        [(record["step"], record.get("loss")) for record in read_journal(tmp_path / out / "metrics.jsonl")]
        for out in ("whole", "parts")
    ]
    assert losses[0] == losses[1]
    for file in ("model/model.safetensors", "checkpoints/step-00000012/variables.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes(), file


@pytest.mark.slow
def test_what_one_process_cannot_do_ends_both_in_a_sentence(pair, tmp_path):
    own = ((), ("train.seed=1",))
    for found in pair("other", *SETTINGS, own=own):
        assert re.search("process 1 has another recipe .*: give all the same recipe", found["error"])
    first, second = pair("full", *SETTINGS, events=(("fail", "0"), ("never", "0")))
    assert "cannot write (No space left on device)" in first["error"]
    assert second["error"].startswith("process 0: ")
    assert "cannot write (No space left on device)" in second["error"]
    left = [file for file in (tmp_path / "full").rglob("*") if file.name == artifacts.RUN_SUMMARY]
    assert left == []


@pytest.mark.slow
def test_where_one_dies_the_other_ends_in_a_sentence_and_both_resume(start, pair, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = (*SETTINGS, "train.checkpoint_every=4")
    events = (("never", "0"), ("kill", "6"))
    first, second = (
        start("dead", *settings, process=(port, 2, number), event=event)
        for number, event in enumerate(events)
    )
    output, messages = first.communicate(timeout=300)
    second.communicate(timeout=300)
    assert second.returncode == -signal.SIGKILL
    assert first.returncode == 1, messages  # at once, where JAX would wait for the dead one and abort
    found = json.loads(output.splitlines()[-1])
    assert found["error"].startswith("another process has died or cannot be reached (")
    assert found["error"].endswith("go on with --resume in all of them")
    assert [found["error"] for found in pair("dead", *settings)] == ["", ""]
    assert (tmp_path / "dead" / "summary.json").is_file()


@pytest.mark.slow
def test_the_pages_two_processes_train(corpus, recipe, tmp_path):
    """The commands of the page, with a free port, this interpreter, and a small recipe."""
    (block,) = re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "recipe.toml").write_text(recipe("train.steps=4").to_toml())
    assert block.count(":12355") == 1
    (tmp_path / "launch.sh").write_text(block.replace(":12355", f":{port}"))
    (tmp_path / "kerasgpt").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kerasgpt "$@"\n')
    (tmp_path / "kerasgpt").chmod(0o755)
    paths = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run(
        ["bash", "-e", "launch.sh"],
        cwd=tmp_path,
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert "training on 2 devices in 2 processes, by jax" in child.stderr
    assert (tmp_path / "runs" / "many" / "summary.json").is_file()


def test_a_sentence_is_as_long_as_it_may_be():
    with pytest.raises(KerasGPTError), together():
        raise KerasGPTError("x" * 10_000)
