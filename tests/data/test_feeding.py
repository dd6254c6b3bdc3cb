"""Batches by a pipeline of our own: the same ones, in the same order, and nothing to wait for at the end."""

import keras
import numpy as np
import pytest

from kerasgpt.data.feeding import fed
from kerasgpt.data.pipeline import TokenDataset

IDS = np.arange(1000, dtype=np.int32) % 50


@pytest.fixture
def data():
    return TokenDataset(IDS, sequence_length=8, batch_size=4, first_step=3, num_steps=5)


def test_the_batches_are_the_data_sets_in_order(data):
    pipeline = fed(data)
    for _ in range(2):  # `evaluate` reads it anew each time
        found = list(pipeline.as_numpy_iterator())
        assert len(found) == len(data) == len(pipeline)
        for number, arrays in enumerate(found):
            for array, expected in zip(arrays, data[number], strict=True):
                assert array.dtype == expected.dtype
                np.testing.assert_array_equal(array, expected)


def test_named_inputs_keep_their_names():
    data = TokenDataset(IDS, sequence_length=8, batch_size=4, end_of_text_id=7, num_steps=2)
    for found, expected in zip(fed(data), [data[0], data[1]], strict=True):
        keras.tree.assert_same_structure(expected, found)
        keras.tree.map_structure(
            np.testing.assert_array_equal, expected, keras.tree.map_structure(np.array, found)
        )


def test_there_is_no_autotuner_to_wait_for(data):
    assert fed(data).options().autotune.enabled is False


def test_fit_and_evaluate_take_it(data):
    model = keras.Sequential([keras.layers.Embedding(50, 50)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    expected = model.evaluate(data, verbose=0)
    assert model.evaluate(fed(data), verbose=0) == pytest.approx(expected, rel=1e-6)
    history = model.fit(fed(data), epochs=1, verbose=0)
    assert len(history.history["loss"]) == 1


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_take_the_data_set_itself(data, backend, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    assert fed(data) is data
