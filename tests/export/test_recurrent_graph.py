"""The ONNX file of a recurrent model against a naive recurrence, by ONNX's own checker too."""

import numpy as np
import onnx

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.export.recurrent_graph import ORDER, write_recurrent
from kerasgpt.models.causal_lm import load_model
from kerasgpt.runtime.language_model import open_step_model

IDS = np.random.default_rng(3).integers(0, 290, (2, 7))


def write(folder, path):
    model = load_model(folder)
    write_recurrent(model.config, named_arrays(model), path)
    return open_step_model(path, max_sequence_length=48)


def test_logits_equal_a_naive_recurrence(recurrent_folder, naive_recurrence, tmp_path):
    logits = write(recurrent_folder, tmp_path / "model.onnx").all_logits(IDS, np.array([7, 7]))
    for row, ids in zip(logits, IDS, strict=True):
        assert np.abs(row - naive_recurrence(recurrent_folder, ids)).max() < 1e-5


def test_the_file_is_valid_and_of_standard_operators(recurrent_folder, tmp_path):
    write(recurrent_folder, tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    assert {node.domain for node in onnx.load(tmp_path / "model.onnx").graph.node} == {""}


def test_gates_in_another_order_are_seen(recurrent_folder, naive_recurrence, tmp_path, monkeypatch):
    monkeypatch.setitem(ORDER, "lstm", (0, 1, 2, 3))
    monkeypatch.setitem(ORDER, "gru", (1, 0, 2))
    logits = write(recurrent_folder, tmp_path / "model.onnx").all_logits(IDS, np.array([7, 7]))
    assert np.abs(logits[0] - naive_recurrence(recurrent_folder, IDS[0])).max() > 0.01
