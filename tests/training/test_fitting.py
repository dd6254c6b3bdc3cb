"""Killed at any moment, a run comes to the very same numbers; in trouble it says where it stands."""

import json
import os
import random
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasgpt import artifacts
from kerasgpt.data.pipeline import TokenDataset
from kerasgpt.errors import KerasGPTError
from kerasgpt.training import fitting
from kerasgpt.training.callbacks import LogLosses
from kerasgpt.training.journal import read_journal
from kerasgpt.training.optimizer import RecordingAdamW
from kerasgpt.training.train import train

MEASURED = {"tokens_per_second", "mfu", "memory_bytes", "input_share"}

# Train, and die by SIGKILL at the n-th time that something happens: a step, a checkpoint half written, one
# written and not yet in its place.
KILLED = """
import os, signal, sys
from kerasgpt.quick_start import leave_out_bystanders
leave_out_bystanders()
recipe, run, event, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
from kerasgpt.training import callbacks, resume
from kerasgpt.training.config import Recipe
from kerasgpt.training.train import train

def dying(function, before=lambda *_: None):
    calls = []
    def call(*arguments, **named):
        calls.append(1)
        if len(calls) == number:
            before(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)
    return call

def half(arrays, path):
    path.write_bytes(b"half a checkpoint")

if event == "step":
    callbacks.CountSteps.on_step = dying(callbacks.CountSteps.on_step)
elif event == "write":
    resume.save_file = dying(resume.save_file, half)
elif event == "hash":
    resume.sha256_of = dying(resume.sha256_of)
train(Recipe.from_toml(recipe), run, resume=True, quiet=True)
"""

EVERYTHING = (
    "model.dropout=0.2",
    "data.vocabulary_size=257",
    "train.steps=30",
    "train.accumulation_steps=2",
    "train.ema_decay=0.9",
    "train.schedule=warmup-stable-decay",
    "train.initial_sequence_length=8",
    "train.sequence_length_warmup_steps=9",
    "train.spike_policy=skip",
    "train.log_every=1",
    "train.evaluate_every=7",
    "train.checkpoint_every=4",
)


def _numbers(run):
    records = read_journal(run / artifacts.RUN_METRICS)
    return [{k: v for k, v in record.items() if k not in MEASURED} for record in records]


def _assert_same(left, right):
    assert _numbers(left) == _numbers(right)
    for file in ("model/model.safetensors", "checkpoints/step-00000030/variables.safetensors"):
        ours, theirs = load_file(left / file), load_file(right / file)
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=f"{file}: {name}")


def _die(recipe, run, event, number, backend):
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(recipe), str(run), event, str(number)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode in (0, -signal.SIGKILL), child.stderr
    return child.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "num_deaths"), [("tensorflow", 4), ("jax", 2)])
def test_killed_again_and_again_a_run_comes_to_the_very_same_numbers(recipe, tmp_path, backend, num_deaths):
    jit = "true" if backend == "jax" else "false"
    path = tmp_path / "recipe.toml"
    path.write_text(recipe(*EVERYTHING, f"train.jit_compile={jit}").to_toml())
    assert _die(path, tmp_path / "whole", "never", 0, backend)
    run = tmp_path / "parts"
    dice = random.Random(7)
    deaths = [("step", dice.randint(5, 12)), ("write", 2), ("step", dice.randint(1, 6)), ("hash", 3)]
    for event, number in deaths[:num_deaths]:
        assert not _die(path, run, event, number, backend)
    left = [file.name for file in run.rglob("*.tmp-*")]
    assert left, "no death left anything half done: this test then shows less than it should"
    assert _die(path, run, "never", 0, backend)
    assert not list(run.rglob("*.tmp-*"))
    _assert_same(tmp_path / "whole", run)


@pytest.fixture
def stopped_at(monkeypatch):
    """Let a run fail in a step, as if the machine had failed."""

    def arrange(wanted, error):
        original = LogLosses.on_train_batch_end

        def on_train_batch_end(self, batch, logs=None):
            if self.first_step + batch + 1 == wanted:
                monkeypatch.undo()
                raise error
            original(self, batch, logs)

        monkeypatch.setattr(LogLosses, "on_train_batch_end", on_train_batch_end)

    return arrange


def test_when_the_newest_checkpoint_is_damaged_the_one_before_serves_and_that_is_said(
    recipe, tmp_path, stopped_at, capsys
):
    small = recipe("model.dropout=0.2", "train.log_every=1")
    whole = train(small, tmp_path / "whole", quiet=True)
    stopped_at(8, KerasGPTError("the lights went out"))
    with pytest.raises(
        KerasGPTError, match="the lights went out; the checkpoint step-00000006 is intact: go on"
    ):
        train(small, tmp_path / "parts", quiet=True)
    newest = tmp_path / "parts" / "checkpoints" / "step-00000006" / "variables.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[-1] ^= 1  # a bit of a number: only the hash can tell
    newest.write_bytes(damaged)
    capsys.readouterr()
    parts = train(small, tmp_path / "parts", resume=True)
    said = capsys.readouterr().err
    assert (
        "step-00000006: cannot read this checkpoint (variables.safetensors is not as it was written)" in said
    )
    assert "going on from step-00000003" in said
    assert _numbers(parts.folder) == _numbers(whole.folder)


def test_a_loss_that_is_no_number_stops_with_the_last_checkpoint_intact(recipe, tmp_path, monkeypatch):
    original = RecordingAdamW.apply

    def apply(self, grads, trainable_variables=None):
        bad = keras.ops.where(keras.ops.equal(self.iterations, 4), float("nan"), 1.0)
        original(self, [grad * keras.ops.cast(bad, grad.dtype) for grad in grads], trainable_variables)

    monkeypatch.setattr(RecordingAdamW, "apply", apply)
    with pytest.raises(KerasGPTError, match=r"the loss is nan at step 6.*step-00000003 is intact"):
        train(recipe(), tmp_path / "run", quiet=True)
    for array in load_file(tmp_path / "run" / "checkpoints/step-00000003/variables.safetensors").values():
        assert np.isfinite(array).all()
    # A checkpoint due just after the broken update, before any loss tells: refused by its weights.
    with pytest.raises(KerasGPTError, match=r"after step 5 weights are not finite.*step-00000004 is intact"):
        train(recipe("train.checkpoint_every=1"), tmp_path / "other", quiet=True)


def test_a_full_disk_stops_with_the_last_checkpoint_intact(recipe, tmp_path, full_disk, stopped_at):
    own = recipe("train.steps=8", "train.evaluate_every=100")
    stopped_at(5, KerasGPTError("the lights went out"))
    with pytest.raises(KerasGPTError, match="the lights went out"):
        train(own, tmp_path / "run", quiet=True)
    before = {file: file.read_bytes() for file in (tmp_path / "run" / "checkpoints").rglob("*.*")}
    assert before
    with (
        full_disk(10_000),
        pytest.raises(KerasGPTError, match=r"cannot write.*step-00000003 is intact: go on"),
    ):
        train(own, tmp_path / "run", resume=True, quiet=True)
    assert {file: file.read_bytes() for file in before} == before
    assert train(own, tmp_path / "run", resume=True, quiet=True).summary["steps"] == 8


def test_on_a_full_disk_another_recipe_does_not_begin(recipe, tmp_path, full_disk):
    train(recipe("train.steps=3"), tmp_path / "run", quiet=True)
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*.*") if file.is_file()}
    longer = recipe("train.steps=8", "train.evaluate_every=100")
    with (
        full_disk(10_000),
        pytest.raises(KerasGPTError, match=r"cannot write.*step-00000003 is intact: go on"),
    ):
        train(longer, tmp_path / "run", resume=True, force=True, quiet=True)
    assert {file: file.read_bytes() for file in before} == before
    assert train(longer, tmp_path / "run", resume=True, force=True, quiet=True).summary["steps"] == 8


def test_a_batch_too_large_for_memory_names_the_settings_to_lower(recipe, tmp_path, stopped_at):
    class ResourceExhaustedError(Exception):
        pass

    stopped_at(2, ResourceExhaustedError("OOM when allocating tensor"))
    with pytest.raises(KerasGPTError, match=r"2 x 16 tokens does not fit in memory: lower train\.batch_size"):
        train(recipe(), tmp_path / "run", quiet=True)


@pytest.fixture
def spike_at(monkeypatch):
    """Make the gradient of the n-th update, as counted in updates made, a hundred times longer."""

    def arrange(*wanted):
        original = RecordingAdamW.apply

        def apply(self, grads, trainable_variables=None):
            is_one = sum(keras.ops.cast(keras.ops.equal(self.iterations, n - 1), "float32") for n in wanted)
            grads = [grad * (1 + 99 * is_one) for grad in grads]
            original(self, grads, trainable_variables)

        monkeypatch.setattr(RecordingAdamW, "apply", apply)

    return arrange


SPIKY = ("train.steps=30", "train.checkpoint_every=10", "train.log_every=1", "train.spike_factor=5")


def test_a_spike_is_skipped(recipe, tmp_path, spike_at):
    spike_at(25)
    run = train(recipe(*SPIKY, "train.spike_policy=skip"), tmp_path / "run", quiet=True)
    skipped = {record["step"]: record["skipped_steps"] for record in _numbers(run.folder) if "loss" in record}
    assert (skipped[24], skipped[25], skipped[30]) == (0, 1, 1)


def test_behind_a_spike_the_run_goes_back_and_on_with_the_data_after_it(recipe, tmp_path, monkeypatch):
    """The batch that spikes is known by its data; after going back it is not read again."""
    read, spiky = [], []
    original = TokenDataset.batch

    def batch(self, step):
        if self.seed is not None:
            read.append(step)
        return original(self, step)

    monkeypatch.setattr(TokenDataset, "batch", batch)
    fit = fitting.Sitting._fit_a_stage

    def fit_a_stage(self, callbacks):
        spiky.append((self.state.step, self.state.data_offset))
        optimizer = self.learner.optimizer
        if len(spiky) == 1:
            monkeypatch.setattr(optimizer, "spike_factor", 5.0)
            inner = optimizer.apply

            def apply(grads, trainable_variables=None):
                bad = keras.ops.cast(keras.ops.equal(optimizer.iterations, 24), "float32")
                bad = bad * keras.ops.cast(keras.ops.equal(going.value, 0), "float32")
                inner([grad * (1 + 99 * bad) for grad in grads], trainable_variables)

            going = keras.Variable(0.0, trainable=False)
            optimizer.apply = apply
            self.going = going
        else:
            self.going.assign(1.0)
        fit(self, callbacks)

    monkeypatch.setattr(fitting.Sitting, "__setattr__", object.__setattr__)
    monkeypatch.setattr(fitting.Sitting, "_fit_a_stage", fit_a_stage)
    run = train(recipe(*SPIKY, "train.spike_policy=rollback"), tmp_path / "run", quiet=True)
    assert spiky == [(0, 0), (20, 5)]
    losses = [record["step"] for record in _numbers(run.folder) if "loss" in record]
    assert losses == list(range(1, 31))
    assert read[-10:] == list(range(25, 35))
    state = json.loads((run.folder / "checkpoints/step-00000030/state.json").read_text())
    assert (state["data_offset"], state["num_rollbacks"]) == (5, 0)
    between = json.loads((run.folder / "checkpoints/step-00000020/state.json").read_text())
    assert (between["data_offset"], between["num_rollbacks"]) == (
        5,
        1,
    )  # as it was killed just after going back


def test_a_spike_that_always_comes_back_ends_the_run(recipe, tmp_path, spike_at, monkeypatch):
    monkeypatch.setattr(fitting, "MOST_ROLLBACKS", 2)
    spike_at(25)
    with pytest.raises(KerasGPTError, match="spiked again at step 25, after going back 2 times"):
        train(recipe(*SPIKY, "train.spike_policy=rollback"), tmp_path / "run", quiet=True)
