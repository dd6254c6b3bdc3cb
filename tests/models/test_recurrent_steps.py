"""The Keras engine of recurrent models against the model itself."""

import numpy as np
import pytest

from kerasgpt.models.causal_lm import load_model
from kerasgpt.models.recurrent_steps import RecurrentStepModel

IDS, LENGTHS = np.random.default_rng(1).integers(0, 290, (3, 9)), np.array([9, 2, 5])


@pytest.fixture
def engine(recurrent_folder):
    return RecurrentStepModel(load_model(recurrent_folder))


def test_prompts_of_any_length_and_their_steps_equal_the_whole_text(engine):
    whole = engine.all_logits(IDS, np.full(3, 9))
    state, logits = engine.prefill(IDS, LENGTHS)
    assert np.abs(logits - whole[np.arange(3), LENGTHS - 1]).max() < 1e-5
    state = engine.reorder(state, np.array([2, 1]))
    for step in range(3):
        state, logits = engine.step(state, IDS[[2, 1], LENGTHS[[2, 1]] + step])
        assert np.abs(logits - whole[[2, 1], LENGTHS[[2, 1]] + step]).max() < 1e-5


def test_rows_that_join_go_on_as_they_were(engine):
    first, _ = engine.prefill(IDS[:1], LENGTHS[:1])
    others, _ = engine.prefill(IDS[1:], LENGTHS[1:])
    _, joint = engine.step(engine.join([first, others]), np.array([7, 8, 9]))
    state, _ = engine.prefill(IDS, LENGTHS)
    _, together = engine.step(state, np.array([7, 8, 9]))
    assert np.abs(joint - together).max() < 1e-5
