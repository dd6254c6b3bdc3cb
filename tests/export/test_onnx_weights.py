import numpy as np
import pytest

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.onnx_weights import checked_weights, weight_shapes
from kerasgpt.models.gpt2 import GPT2CausalLM


@pytest.mark.parametrize("tied", [True, False])
def test_the_names_and_shapes_are_those_of_the_model(tied):
    config = GPT2Config(
        vocabulary_size=17,
        max_sequence_length=9,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=24,
    ).replace(tie_word_embeddings=tied)
    model = GPT2CausalLM(config)
    model.build()
    assert {name: array.shape for name, array in named_arrays(model).items()} == weight_shapes(config)


def test_numbers_that_half_precision_cannot_hold_are_refused():
    config = GPT2Config(vocabulary_size=5, max_sequence_length=3, num_layers=1, num_heads=1, hidden_dim=4)
    weights = {name: np.ones(shape, np.float32) for name, shape in weight_shapes(config).items()}
    weights["transformer.wpe.weight"][1, 2] = 70_000
    assert checked_weights(config, weights)["transformer.wpe.weight"].dtype == np.float32
    with pytest.raises(KerasGPTError, match=r"transformer.wpe.weight holds numbers beyond 65504"):
        checked_weights(config, weights, np.float16)
