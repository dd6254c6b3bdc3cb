"""Over several devices a run comes to the losses that it has on one; what cannot be done is a sentence."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.engines import load
from kerasgpt.errors import UsageError
from kerasgpt.training.distribution import (
    described,
    distributed,
    layouts_of,
    own_rows,
    require_engine,
)
from kerasgpt.training.journal import read_journal
from kerasgpt.training.settings import TrainConfig
from kerasgpt.training.train import train

NUMBERS = ("loss", "grad_norm", "validation_loss")
CONFIG = GPT2Config(vocabulary_size=64, num_layers=1, num_heads=2, hidden_dim=8)

# Clipped, accumulated, averaged, with dropout and windows that grow: all that could differ.
SETTINGS = (
    "model.dropout=0.1",
    "data.vocabulary_size=268",
    "train.steps=20",
    "train.batch_size=8",
    "train.clip_norm=0.3",
    "train.log_every=1",
    "train.evaluate_every=10",
    "train.checkpoint_every=10",
    "train.ema_decay=0.9",
    "train.accumulation_steps=2",
    "train.initial_sequence_length=8",
    "train.sequence_length_warmup_steps=6",
    "train.jit_compile=true",
)
DATA = ("train.distribution=data",)
MODEL = ("train.distribution=model", "train.model_parallel=2")


def numbers(run):
    """Losses and gradients of each step, and what the model wrote."""
    records = read_journal(run / artifacts.RUN_METRICS)
    return [{name: record[name] for name in (*NUMBERS, "sample") if name in record} for record in records]


def assert_close(left, right, tolerance=1e-5):
    left, right = numbers(left), numbers(right)
    assert len(left) == len(right) == 22
    for ours, theirs in zip(left, right, strict=True):
        assert ours.pop("sample", "") == theirs.pop("sample", "")
        assert ours == pytest.approx(theirs, abs=tolerance, rel=0)


@pytest.mark.slow
def test_on_jax_four_devices_and_two_processes_train_as_one_device_does(start, end, pair, tmp_path, run):
    one = end(start("one", *SETTINGS))
    assert (one["qkv"], one["devices"], one["shapes"]) == ([16, 48], 1, [[8, 16]])
    for out, settings, part in (("data", DATA, [16, 48]), ("model", MODEL, [16, 24])):
        found = end(start(out, *SETTINGS, *settings, devices=4))
        assert (found["qkv"], found["devices"], found["libraries"]) == (part, 4, ["jax"])
        assert_close(tmp_path / "one", tmp_path / out)
    for out, settings, devices, part in (("two", DATA, 1, [16, 48]), ("four", MODEL, 2, [16, 24])):
        first, second = pair(out, *SETTINGS, *settings, devices=devices)
        for found in (first, second):
            assert (found["error"], found["libraries"]) == ("", ["jax"])
            assert (found["qkv"], found["devices"]) == (part, 2 * devices)
            assert found["shapes"] == [[4, 16]]  # its own half of each batch
        assert_close(tmp_path / "one", tmp_path / out)
        assert "metrics.jsonl" in first["written"]
        assert second["written"] == []
    assert (tmp_path / "four" / "report.html").is_file()
    # Trained there, exported and run here, by TensorFlow.
    assert (
        run("export", tmp_path / "four", "--out", tmp_path / "bundle", "--formats", "saved_model").code == 0
    )
    exported = load(tmp_path / "bundle", engine="saved_model").generate(["to be"])[0].text
    assert exported == load(tmp_path / "one", engine="keras").generate(["to be"])[0].text


@pytest.mark.slow
def test_killed_on_four_devices_a_run_comes_to_the_very_same_numbers(start, end, tmp_path):
    settings = (*SETTINGS, *MODEL, "train.checkpoint_every=3")
    end(start("whole", *settings, devices=4))
    assert end(start("parts", *settings, devices=4, event=("kill", "11"))) is None
    other = end(start("parts", *settings, devices=2))
    assert (
        "the devices are others than this run was begun with (devices: 4 devices, weights" in other["error"]
    )
    assert end(start("parts", *settings, devices=4))["error"] == ""
    assert numbers(tmp_path / "parts") == numbers(tmp_path / "whole")
    checkpoint = "checkpoints/step-00000020/variables.safetensors"
    ours, theirs = load_file(tmp_path / "parts" / checkpoint), load_file(tmp_path / "whole" / checkpoint)
    for name, array in theirs.items():
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


@pytest.mark.slow
def test_forced_a_run_goes_on_over_another_number_of_devices(start, end, tmp_path):
    end(start("one", *SETTINGS))
    end(start("other", *SETTINGS, *MODEL, devices=4, event=("kill", "14")))
    end(start("other", *SETTINGS, *MODEL, devices=2, event=("force", "0")))
    assert_close(tmp_path / "one", tmp_path / "other")


@pytest.mark.slow
def test_two_replicas_of_tensorflow_train_as_one_device_does(start, end, tmp_path):
    corpus = (
        tmp_path / "corpus.txt"
    )  # so long that no window of these steps is one of the short ones at its ends
    corpus.write_text(corpus.read_text() * 12)
    settings = (*SETTINGS, "model.dropout=0.0", "train.accumulation_steps=1", "train.jit_compile=false")
    end(start("one", *settings, backend="tensorflow"))
    mirrored = (*settings, "train.distribution=mirrored", "train.jit_compile=auto")
    assert end(start("two", *mirrored, backend="tensorflow", devices=2))["error"] == ""
    assert_close(tmp_path / "one", tmp_path / "two")
    state = json.loads((tmp_path / "two/checkpoints/step-00000020/state.json").read_text())
    assert state["environment"]["devices"] == "2 devices"


@pytest.fixture
def on(monkeypatch):
    """Let a backend be in use, as far as the refusals ask."""
    for name in ("TF_CONFIG", "KERAS_DISTRIBUTION_JOB_ADDRESSES"):
        monkeypatch.delenv(name, raising=False)
    return lambda backend: monkeypatch.setattr(keras.backend, "backend", lambda: backend)


@pytest.mark.parametrize(
    ("backend", "settings", "sentence"),
    [
        ("tensorflow", {"distribution": "data"}, "'data' does not work on tensorflow: .*KERAS_BACKEND=jax"),
        ("tensorflow", {"distribution": "model"}, "'model' does not work on tensorflow: .*KERAS_BACKEND=jax"),
        ("torch", {"distribution": "data"}, "'data' does not work on torch: .*KERAS_BACKEND=jax"),
        ("torch", {"distribution": "mirrored"}, "TensorFlow's, and this is torch: .*KERAS_BACKEND=jax"),
        ("jax", {"distribution": "mirrored"}, "on JAX set 'data'"),
        ("jax", {"distribution": "data", "model_parallel": 2}, "model_parallel is 2 and .*'data'"),
        (
            "tensorflow",
            {"distribution": "mirrored", "accumulation_steps": 4},
            "accumulation_steps 4 does not work with .*'mirrored': set it to 1, or .*KERAS_BACKEND=jax",
        ),
        (
            "tensorflow",
            {"distribution": "mirrored", "jit_compile": True},
            "jit_compile true does not work with .*'mirrored': set it to false, or .*KERAS_BACKEND=jax",
        ),
        (
            "tensorflow",
            {"distribution": "mirrored", "spike_policy": "skip"},
            "spike_policy 'skip' is not offered with .*'mirrored': set it to 'none', or .*KERAS_BACKEND=jax",
        ),
        (
            "tensorflow",
            {"distribution": "mirrored", "precision": "mixed_float16"},
            "precision 'mixed_float16' is not offered .*set it to 'mixed_bfloat16', or .*KERAS_BACKEND=jax",
        ),
    ],
)
def test_what_an_engine_cannot_do_is_refused(on, backend, settings, sentence):
    on(backend)
    with pytest.raises(UsageError, match=sentence):
        require_engine(TrainConfig(**settings))


def test_what_an_engine_can_do_is_not(on):
    for backend, kind in [("jax", "data"), ("jax", "model"), ("tensorflow", "mirrored"), ("torch", "none")]:
        on(backend)
        require_engine(TrainConfig(distribution=kind))


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_several_processes_are_for_jax(on, backend, monkeypatch):
    on(backend)
    monkeypatch.setenv("KERAS_DISTRIBUTION_JOB_ADDRESSES", "127.0.0.1:1")
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    monkeypatch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", "0")
    with pytest.raises(UsageError, match=f"training in 2 processes does not work on {backend}: .*=jax"):
        require_engine(TrainConfig())
    on("jax")
    with pytest.raises(UsageError, match="there are 2 processes and train.distribution is 'none'"):
        require_engine(TrainConfig())


def test_what_tensorflow_would_do_by_halves_is_refused(on, monkeypatch, recipe, tmp_path):
    on("tensorflow")
    cluster = {"cluster": {"worker": ["one:1", "two:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(
        UsageError, match=r"TF_CONFIG names 2 workers.*MultiWorkerMirrored.*KERAS_BACKEND=jax"
    ):
        train(recipe(), tmp_path / "run", quiet=True)
    monkeypatch.setenv("TF_CONFIG", "{}")
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope(), pytest.raises(UsageError, match=r"OneDeviceStrategy: leave it.*KERAS_BACKEND=jax"):
        train(recipe(), tmp_path / "run", quiet=True)
    monkeypatch.setattr(keras.distribution, "distribution", SimpleNamespace)
    with pytest.raises(
        UsageError, match=r"keras\.distribution does not work on tensorflow.*KERAS_BACKEND=jax"
    ):
        train(recipe(), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_devices_cannot_share_evenly_is_refused(monkeypatch):
    devices = [SimpleNamespace(name=f"CPU:{index}") for index in range(3)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: devices if kind == "CPU" else [])
    with (
        pytest.raises(UsageError, match="batch_size is 8 and 3 devices share it: make it a multiple of 3"),
        distributed(TrainConfig(distribution="mirrored"), CONFIG),
    ):
        pass
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "cpu:1", "cpu:2"])
    for settings, sentence in [
        ({"distribution": "data"}, "batch_size is 8 and 3 devices share it"),
        ({"distribution": "model", "model_parallel": 2}, "model_parallel is 2 and there are 3 devices"),
    ]:
        with pytest.raises(UsageError, match=sentence), distributed(TrainConfig(**settings), CONFIG):
            pass


def test_heads_and_feed_forward_are_divided_evenly_or_not_at_all():
    with pytest.raises(UsageError, match=r"model_parallel is 4 and model\.num_heads 2: take a divisor"):
        layouts_of(CONFIG, 4)
    with pytest.raises(UsageError, match=r"model_parallel is 2 and model\.intermediate_dim 9"):
        layouts_of(CONFIG.replace(intermediate_dim=9), 2)


def test_the_table_of_tokens_is_divided_by_vocabulary_or_else_by_width():
    table = ".*/token_embedding/embeddings"
    assert layouts_of(CONFIG, 2)[table] == ("model", None)
    assert layouts_of(CONFIG.replace(vocabulary_size=50257), 2)[table] == (None, "model")


def test_one_device_reads_everything():
    assert own_rows(8) is None
    assert described(TrainConfig(), 1) == ""
    assert (
        described(TrainConfig(distribution="model", model_parallel=2), 4) == "4 devices, weights in 2 parts"
    )
    with distributed(TrainConfig(), CONFIG) as num_devices:
        assert num_devices == 1
