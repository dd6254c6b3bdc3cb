"""A compiled function answers as it does uncompiled, and reads the weights of the moment."""

import keras
import numpy as np

from kerasgpt.models.compiled import compiled


def test_one_function_serves_all_shapes_and_changed_weights():
    weight = keras.Variable(np.array([1.0, 2.0], "float32"))
    calls = []

    def scaled(arrays):
        calls.append(1)
        return {"sum": keras.ops.sum(arrays["rows"] * weight, axis=0)}

    rows = keras.KerasTensor((None, 2), "float32")
    call = compiled(scaled, [weight], {"rows": rows})
    for size in (1, 3):
        found = call({"rows": np.ones((size, 2), np.float32)})
        np.testing.assert_array_equal(found["sum"], [size, 2 * size])
    weight.assign([3.0, 5.0])
    np.testing.assert_array_equal(call({"rows": np.ones((2, 2), np.float32)})["sum"], [6, 10])
    assert keras.backend.backend() != "tensorflow" or len(calls) == 1
