"""Models rounded by Keras's `quantize`, in files of Keras."""

import keras
import numpy as np
import pytest

from kerasgpt.config import GPT2Config
from kerasgpt.layers.block import TransformerBlock
from kerasgpt.layers.embedding import TokenAndPositionEmbedding
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.recurrent import LSTMCausalLM
from kerasgpt.recurrent_config import RecurrentConfig

CONFIG = GPT2Config(vocabulary_size=50, num_layers=2, num_heads=2, hidden_dim=16, max_sequence_length=16)
IDS = np.arange(12).reshape(2, 6)


def causal_lm():
    return GPT2CausalLM(CONFIG)


def untied_bfloat16():
    return GPT2CausalLM(CONFIG.replace(tie_word_embeddings=False), dtype="mixed_bfloat16")


def recurrent():
    return LSTMCausalLM(RecurrentConfig(vocabulary_size=50, num_layers=1, hidden_dim=16, embedding_dim=8))


def classifier():
    ids = keras.Input((6,), dtype="int32")
    positions = keras.ops.cumsum(keras.ops.ones_like(ids), axis=1) - 1
    hidden = TokenAndPositionEmbedding(50, 16, 16)(ids, positions)
    hidden = TransformerBlock(num_heads=2, intermediate_dim=32)(hidden, None)[0]
    return keras.Model(ids, keras.layers.Dense(3)(hidden))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("make", [causal_lm, untied_bfloat16, recurrent, classifier])
def test_a_quantised_model_comes_back_from_its_file_and_goes_again(make, mode, tmp_path):
    model = make()
    exact = np.asarray(model(IDS))
    model.quantize(mode)
    rounded = np.asarray(model(IDS))
    assert mode == "float8" or (rounded != exact).any()
    for turn in range(2):
        model.save(tmp_path / f"{turn}.keras")
        model = keras.saving.load_model(tmp_path / f"{turn}.keras")
        np.testing.assert_array_equal(np.asarray(model(IDS)), rounded)
    modes = {layer.quantization_mode for layer in model._flatten_layers()}
    assert modes == {None, mode}
