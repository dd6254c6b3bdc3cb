"""The rate over the updates, against the formulas written out in plain Python."""

import math

import keras
import numpy as np
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.training.schedule import WarmUpThenDecay, learning_rate_schedule
from kerasgpt.training.settings import TrainConfig

STEPS, WARMUP, PEAK, FINAL = 110, 10, 2.0, 0.5


def _expected(shape, update):
    if update < WARMUP:
        return PEAK * (update + 1) / (WARMUP + 1)
    part = (update - WARMUP) / (STEPS - WARMUP)
    if shape == "constant":
        return PEAK
    if shape == "linear":
        return PEAK - (PEAK - FINAL) * part
    if shape == "cosine":  # as nanoGPT has it
        return FINAL + 0.5 * (1 + math.cos(math.pi * part)) * (PEAK - FINAL)
    stable = 110 - 33
    return PEAK if update < stable else PEAK - (PEAK - FINAL) * (update - stable) / 33


@pytest.mark.parametrize("accumulation_steps", [1, 4])
@pytest.mark.parametrize("shape", ["cosine", "linear", "constant", "warmup-stable-decay"])
def test_the_rate_follows_its_formula_and_counts_updates_not_batches(shape, accumulation_steps):
    schedule = learning_rate_schedule(
        TrainConfig(
            steps=STEPS,
            warmup_steps=WARMUP,
            learning_rate=PEAK,
            final_learning_rate=FINAL,
            schedule=shape,
            decay_fraction=0.3,
            accumulation_steps=accumulation_steps,
        )
    )
    for update in range(STEPS):
        # Each batch of a window has the rate of its update; Keras reads it at the last.
        for batch in (update * accumulation_steps, (update + 1) * accumulation_steps - 1):
            assert float(schedule(batch)) == pytest.approx(_expected(shape, update), rel=1e-5)


def test_after_the_last_update_the_rate_stays():
    schedule = learning_rate_schedule(TrainConfig(steps=10, warmup_steps=2, final_learning_rate=1e-4))
    assert float(schedule(50)) == pytest.approx(1e-4)


def test_a_warm_up_longer_than_the_run_is_cut_short():
    rates = [float(learning_rate_schedule(TrainConfig(steps=3, warmup_steps=100))(n)) for n in range(3)]
    np.testing.assert_allclose(rates, [1e-3 / 3, 2e-3 / 3, 1e-3], rtol=1e-5)


def test_it_is_saved_and_loaded_with_a_model():
    schedule = learning_rate_schedule(TrainConfig(schedule="linear"))
    serialized = keras.optimizers.schedules.serialize(schedule)
    again = keras.optimizers.schedules.deserialize(serialized)
    assert again.get_config() == schedule.get_config()


def test_an_unknown_shape_is_refused():
    with pytest.raises(UsageError, match="unknown schedule 'step'"):
        WarmUpThenDecay(1.0, 0.0, 10, 2, shape="step")
