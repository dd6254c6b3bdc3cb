"""Event files, read back by TensorBoard itself."""

import subprocess
import sys
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasgpt import artifacts
from kerasgpt.atomic import CannotWriteError
from kerasgpt.errors import KerasGPTError, MissingExtraError
from kerasgpt.training.tensorboard import EventFile
from kerasgpt.training.train import train


def _read(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def test_numbers_texts_and_histograms_are_read_back(tmp_path):
    events = EventFile(tmp_path)
    events.record({"step": 3, "loss": 1.5, "sample": "To be,\nor not"})
    events.histograms(3, {"weights": np.arange(100, dtype="float32")})
    found = _read(tmp_path)  # before the file is closed
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(3, 1.5)]
    assert found.Tensors("sample")[0].tensor_proto.string_val[0] == b"    To be,\n    or not"
    (histogram,) = found.Histograms("weights")
    assert (histogram.step, histogram.histogram_value.num, histogram.histogram_value.max) == (3, 100, 99)
    assert sum(histogram.histogram_value.bucket) == 100
    events.close()


def test_a_run_writes_them_when_asked(recipe, tmp_path):
    run = train(recipe("train.tensorboard=true"), tmp_path / "run", quiet=True)
    found = _read(run.folder / artifacts.RUN_TENSORBOARD)
    assert {"loss", "learning_rate", "grad_norm", "tokens_per_second", "validation_loss"} <= set(
        found.Tags()["scalars"]
    )
    assert [event.step for event in found.Scalars("loss")] == [2, 4, 6, 8]
    assert "transformer.wte.weight" in found.Tags()["histograms"]
    assert found.Tensors("sample")


def test_without_tensorboard_it_is_a_sentence(tmp_path, without):
    without("tensorboard.compat.proto.event_pb2")
    with pytest.raises(MissingExtraError, match=r"pip install 'kerasgpt\[train\]'"):
        EventFile(tmp_path)


def test_writing_them_imports_no_tensorflow(tmp_path):
    code = (
        "import sys; from pathlib import Path; from kerasgpt.training.tensorboard import EventFile\n"
        "EventFile(Path(sys.argv[1])).scalars(1, {'loss': 1.0}); print('tensorflow' in sys.modules)"
    )
    environment = {"KERAS_BACKEND": "jax", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert child.stdout.strip() == "False", child.stderr


def test_what_a_run_went_back_behind_is_dropped(tmp_path):
    first = EventFile(tmp_path)
    for step in (1, 2, 3, 4):
        first.record({"step": step, "loss": 0.0})
    first.drop_after(0)
    for step in (1, 2, 3):
        first.record({"step": step, "loss": float(step)})
    first.drop_after(2)  # where one line alone was written after the checkpoint
    first.record({"step": 3, "loss": 3.0})
    second = EventFile(tmp_path, step=2)
    second.record({"step": 3, "loss": 30.0})
    assert [(event.step, event.value) for event in _read(tmp_path).Scalars("loss")] == [
        (1, 1),
        (2, 2),
        (3, 30),
    ]


def test_a_full_disk_is_a_sentence(tmp_path, full_disk):
    events = EventFile(tmp_path)
    with full_disk(1000), pytest.raises(CannotWriteError, match=r"events\.out.*: cannot write"):
        events.text(1, "sample", "x" * 5000)


def test_weights_that_are_not_finite_are_a_sentence(recipe, tmp_path):
    settings = "train.tensorboard=true", "train.learning_rate=1e30", "train.clip_norm=0"
    quiet = "train.log_every=50", "train.evaluate_every=2", "train.sample_tokens=0"
    with pytest.raises(KerasGPTError, match="not finite|is nan"):
        train(recipe(*settings, *quiet), tmp_path / "run", quiet=True)


@pytest.mark.parametrize("hours", [0, 1])
def test_a_clock_that_went_back_loses_nothing(tmp_path, monkeypatch, hours):
    now = time.time()
    for first, clock in ((0, now), (10, now - 3600 * hours)):
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        events = EventFile(tmp_path, first)
        for step in range(first + 1, first + 11):
            events.scalars(step, {"loss": 1.0})
        events.close()
    assert [event.step for event in _read(tmp_path).Scalars("loss")] == list(range(1, 21))
