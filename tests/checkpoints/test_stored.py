"""An array in a file behaves as an array, and is read each time it is asked for."""

import numpy as np

from kerasgpt.checkpoints.stored import StoredArray


def stored(shape):
    return StoredArray("w", shape, lambda: np.arange(np.prod(shape), dtype="float16").reshape(shape))


def test_numpy_reads_it_in_the_type_it_asks_for():
    assert np.asarray(stored((2, 3))).dtype == "float16"
    assert np.array_equal(np.asarray(stored((2, 3)), "float32"), np.arange(6.0).reshape(2, 3))


def test_only_a_leading_one_too_many_is_dropped():
    assert stored((1, 2, 3)).without_leading_one(2).shape == (2, 3)
    assert np.asarray(stored((1, 2, 3)).without_leading_one(2)).shape == (2, 3)
    for shape in ((1, 3), (2, 3), (2, 3, 1), (1, 1, 2, 3)):
        assert stored(shape).without_leading_one(2).shape == shape


def test_a_reshaped_array_has_the_same_numbers():
    assert np.asarray(stored((2, 3)).reshaped((3, 2))).tolist() == [[0, 1], [2, 3], [4, 5]]
