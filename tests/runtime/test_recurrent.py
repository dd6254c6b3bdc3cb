"""The ONNX engine of recurrent models: ragged prompts in pieces, steps, rows that leave and join."""

import numpy as np
import pytest

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.export.recurrent_graph import write_recurrent
from kerasgpt.models.causal_lm import load_model
from kerasgpt.runtime import recurrent
from kerasgpt.runtime.language_model import open_step_model

IDS, LENGTHS = np.random.default_rng(1).integers(0, 290, (3, 9)), np.array([9, 2, 5])


@pytest.fixture
def engine(recurrent_folder, tmp_path):
    model = load_model(recurrent_folder)
    write_recurrent(model.config, named_arrays(model), tmp_path / "model.onnx")
    return open_step_model(tmp_path / "model.onnx", max_sequence_length=48)


@pytest.mark.parametrize("budget", [2**24, 3 * 300 * 2])
def test_prompts_and_steps_equal_the_whole_text(engine, monkeypatch, budget):
    monkeypatch.setattr(recurrent, "PREFILL_BUDGET", budget)
    whole = engine.all_logits(IDS, np.full(3, 9))
    state, logits = engine.prefill(IDS, LENGTHS)
    assert np.abs(logits - whole[np.arange(3), LENGTHS - 1]).max() < 1e-5
    state = engine.reorder(state, np.array([2, 1]))
    for step in range(3):
        state, logits = engine.step(state, IDS[[2, 1], LENGTHS[[2, 1]] + step])
        assert np.abs(logits - whole[[2, 1], LENGTHS[[2, 1]] + step]).max() < 1e-5


def test_a_state_may_be_stepped_from_twice_and_joined(engine):
    state, _ = engine.prefill(IDS, LENGTHS)
    _, once = engine.step(state, np.array([7, 8, 9]))
    _, twice = engine.step(state, np.array([7, 8, 9]))
    np.testing.assert_array_equal(once, twice)
    parts = [engine.prefill(IDS[row : row + 1], LENGTHS[row : row + 1])[0] for row in range(3)]
    _, joint = engine.step(engine.join(parts), np.array([7, 8, 9]))
    assert np.abs(joint - once).max() < 1e-5
