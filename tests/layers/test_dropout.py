"""What dropout leaves out: as much as it should, each element as if drawn by itself."""

import keras
import numpy as np
import pytest

from kerasgpt.layers.dropout import Dropout


def kept(rate=0.2, shape=(64, 96, 128), seed=3, layer=None):
    layer = layer or Dropout(rate, seed=seed)
    return np.asarray(layer(np.ones(shape, "float32"), training=True)) != 0


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_the_rate_is_exact_and_the_rest_makes_up_for_it(rate):
    dropped = np.asarray(Dropout(rate, seed=1)(np.ones((64, 96, 128), "float32"), training=True))
    share = (dropped != 0).mean()
    assert abs(share - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / dropped.size)
    np.testing.assert_allclose(dropped[dropped != 0], 1 / (1 - rate), rtol=1e-6)


def test_rows_columns_and_pairs_are_as_if_drawn_apart():
    rows = kept().reshape(-1, 128)  # 6,144 rows
    for shares, number in ((rows.mean(0), len(rows)), (rows.mean(1), 128)):
        spread = np.sqrt(0.2 * 0.8 / number)
        assert abs(shares - 0.8).max() < 6 * spread
        assert 0.8 * spread < shares.std() < 1.25 * spread
    centred = rows - rows.mean()
    between_columns = (centred.T @ centred) / len(rows) / 0.16
    assert abs(between_columns - np.eye(128)).max() < 7 / np.sqrt(len(rows))
    between_rows = (centred[:512] @ centred[:512].T) / 128 / 0.16
    off = between_rows[~np.eye(512, dtype=bool)]
    assert abs(off.mean()) < 0.01
    assert 0.9 < off.std() * np.sqrt(128) < 1.1


def test_each_call_draws_anew_and_a_seed_draws_the_same():
    layer, again = Dropout(0.5, seed=7), Dropout(0.5, seed=7)
    first, second = kept(layer=layer), kept(layer=layer)
    assert 0.48 < (first == second).mean() < 0.52
    np.testing.assert_array_equal(first, kept(layer=again))
    np.testing.assert_array_equal(second, kept(layer=again))


def test_outside_training_and_at_the_limits_it_is_keras_dropout():
    ones = np.ones((2, 3, 4), "float32")
    np.testing.assert_array_equal(Dropout(0.5)(ones), ones)
    np.testing.assert_array_equal(Dropout(0.0)(ones, training=True), ones)
    assert not np.asarray(Dropout(1.0)(ones, training=True)).any()
    shared = np.asarray(Dropout(0.5, noise_shape=(2, 1, 4), seed=2)(ones, training=True))
    np.testing.assert_array_equal(shared[:, :1].repeat(3, 1), shared)


def test_half_precision_stays_half_and_configuration_round_trips():
    layer = Dropout(0.25, seed=4, dtype="mixed_bfloat16")
    result = layer(np.ones((2, 8), "float32"), training=True)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    assert Dropout.from_config(layer.get_config()).rate == 0.25
