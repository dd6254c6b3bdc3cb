"""The names of recurrent weights: each variable has one, of the shape that the table says."""

import numpy as np
import pytest

from kerasgpt.checkpoints.mapping import assign_arrays, named_arrays
from kerasgpt.checkpoints.recurrent import checked_weights, shapes_by_name, variables
from kerasgpt.errors import KerasGPTError
from kerasgpt.models.causal_lm import load_model, model_class


def test_every_weight_has_a_name_and_the_shape_of_the_table(recurrent_folder):
    model = load_model(recurrent_folder)
    named = dict(variables(model))
    assert {id(variable) for variable in named.values()} == {id(weight) for weight in model.weights}
    shapes = {name: array.shape for name, array in named_arrays(model).items()}
    assert shapes == shapes_by_name(model.config)


def test_what_is_written_is_read(recurrent_folder):
    model = load_model(recurrent_folder)
    other = model_class(model.config)(model.config)
    assign_arrays(other, named_arrays(model), "memory")
    ids = np.array([[1, 2, 3]])
    np.testing.assert_array_equal(other(ids), model(ids))


def test_weights_of_another_model_are_refused(recurrent_folder):
    model = load_model(recurrent_folder)
    arrays = named_arrays(model)
    missing = {name: array for name, array in arrays.items() if name != "layers.1.bias"}
    with pytest.raises(KerasGPTError, match=r"memory: has no layers\.1\.bias"):
        assign_arrays(model, missing, "memory")
    with pytest.raises(KerasGPTError, match=r"layers\.1\.bias is missing"):
        checked_weights(model.config, missing)
    with pytest.raises(KerasGPTError, match=r"layers\.1\.bias has shape \(3,\)"):
        checked_weights(model.config, {**arrays, "layers.1.bias": np.zeros(3, np.float32)})
