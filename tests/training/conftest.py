"""A corpus and a recipe small enough to train on in a second."""

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kerasgpt.training.config import Recipe

SETTINGS = [
    "data.validation_fraction=0.1",
    "data.vocabulary_size=270",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.hidden_dim=16",
    "train.steps=8",
    "train.batch_size=2",
    "train.sequence_length=16",
    "train.warmup_steps=2",
    "train.learning_rate=0.01",
    "train.log_every=2",
    "train.evaluate_every=4",
    "train.checkpoint_every=3",
    "train.sample_tokens=3",
    "train.jit_compile=false",
]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASGPT_CACHE", str(tmp_path / "cache"))
    generator = random.Random(0)
    words = ["to", "be", "or", "not", "that", "is", "the", "question", "né"]
    lines = [" ".join(generator.choices(words, k=8)) + ".\n" for _ in range(120)]
    path = tmp_path / "corpus.txt"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def recipe(corpus):
    """Make the small recipe, with some settings changed."""

    def make(*settings):
        return Recipe.from_dict({"data": {"paths": str(corpus)}}, [*SETTINGS, *settings])

    return make


@pytest.fixture
def start(recipe, tmp_path):
    """Start a process that trains; what it did is read by `end`."""

    def make(out, *settings, backend="jax", devices=1, process=None, event=("never", "0"), own=()):
        path = tmp_path / f"{out}.toml"
        path.write_text(recipe(*settings).to_toml())
        names = {"KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
        if backend == "jax":
            # Compiled in haste: of a process's time most goes into programs that run twenty steps.
            haste = "--xla_backend_optimization_level=0"
            names["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices} {haste}"
        elif devices > 1:
            names["LOGICAL_DEVICES"] = str(devices)
        if process is not None:
            port, count, number = process
            names["KERAS_DISTRIBUTION_JOB_ADDRESSES"] = f"127.0.0.1:{port}"
            names["KERAS_DISTRIBUTION_NUM_PROCESSES"] = str(count)
            names["KERAS_DISTRIBUTION_PROCESS_ID"] = str(number)
        command = [sys.executable, str(Path(__file__).with_name("one_process.py")), str(path)]
        return subprocess.Popen(
            [*command, str(tmp_path / out), *event, *own],
            env={**os.environ, **names},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return make


@pytest.fixture
def end():
    """Wait for a process and read what it did; None if it was killed."""

    def read(child):
        output, messages = child.communicate(timeout=1200)
        if child.returncode < 0:
            return None
        assert child.returncode == 0, messages
        return json.loads(output.splitlines()[-1])

    return read


@pytest.fixture
def pair(start, end):
    """Train in two processes on this machine."""

    def make(out, *settings, events=(("never", "0"),) * 2, own=((), ()), **arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = [
            start(out, *settings, process=(port, 2, number), event=event, own=own[number], **arguments)
            for number, event in enumerate(events)
        ]
        return [end(child) for child in children]

    return make
