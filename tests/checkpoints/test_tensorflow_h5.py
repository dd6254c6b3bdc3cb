"""tf_model.h5, as transformers wrote it up to version 4."""

import h5py
import numpy as np
import pytest

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.checkpoints.tensorflow_h5 import read_folder
from kerasgpt.errors import KerasGPTError
from kerasgpt.models.gpt2 import GPT2CausalLM


def test_every_number_arrives_where_it_belongs(tensorflow_folder, arrays):
    found = named_arrays(GPT2CausalLM.from_preset(tensorflow_folder))
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tfgpt2lm_head_model/", "tfgp_t2lm_head_model/"),
        ("tfgpt2lm_head_model/", "tfgpt2_model/"),
        ("wte/weight:0", "wte/embeddings:0"),
    ],
)
def test_the_names_that_other_versions_gave_are_read(tensorflow_folder, arrays, before, after):
    path = tensorflow_folder / "tf_model.h5"
    with h5py.File(path) as file:
        found = {}
        file["transformer"].visititems(
            lambda name, item: found.update({name: item[()]} if hasattr(item, "shape") else {})
        )
    with h5py.File(path, "w") as file:
        for name, array in found.items():
            file[f"transformer/{name.replace(before, after)}"] = array
    again = named_arrays(GPT2CausalLM.from_preset(tensorflow_folder))
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())


def test_one_weight_under_two_names_is_refused(tensorflow_folder):
    with h5py.File(tensorflow_folder / "tf_model.h5", "a") as file:
        file["another/transformer/wpe/weight:0"] = np.zeros(3, "float32")
    with pytest.raises(KerasGPTError, match=r"which are the same weight, transformer\.wpe\.weight"):
        read_folder(tensorflow_folder)


def test_a_layer_of_another_model_is_named(tensorflow_folder):
    with h5py.File(tensorflow_folder / "tf_model.h5", "a") as file:
        file["classifier/score/kernel:0"] = np.zeros((8, 2), "float32")
    with pytest.raises(KerasGPTError, match="holds classifier/score/kernel:0, which this model has not"):
        GPT2CausalLM.from_preset(tensorflow_folder)


def test_the_configuration_alone(tensorflow_folder):
    (tensorflow_folder / "tf_model.h5").write_bytes(b"")
    config, arrays = read_folder(tensorflow_folder, weights=False)
    assert (config.feed_forward_dim, arrays) == (20, {})
