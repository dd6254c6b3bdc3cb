"""Models rounded by Keras's `quantize`, and of a policy per layer, in files of Keras."""

import copy

import keras
import numpy as np
import pytest
from keras.dtype_policies import DTypePolicy, DTypePolicyMap

from kerasgpt.config import GPT2Config
from kerasgpt.layers.block import TransformerBlock
from kerasgpt.layers.embedding import TokenAndPositionEmbedding
from kerasgpt.models.gpt2 import GPT2, GPT2CausalLM
from kerasgpt.models.recurrent import LSTMCausalLM
from kerasgpt.recurrent_config import RecurrentConfig

CONFIG = GPT2Config(vocabulary_size=50, num_layers=2, num_heads=2, hidden_dim=16, max_sequence_length=16)
IDS = np.arange(12).reshape(2, 6)

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")


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


def backbone_alone():
    lm = causal_lm()
    lm.build()
    return lm.backbone


def backbone_in_a_classifier():
    ids = keras.Input((6,), dtype="int32")
    return keras.Model(ids, keras.layers.Dense(3)(backbone_alone()(ids)))


def stack_in_a_sequence():
    return keras.Sequential([keras.Input((6,), dtype="int32"), GPT2(CONFIG), keras.layers.Dense(3)])


def policy_per_layer():
    low, high = DTypePolicy("mixed_bfloat16"), DTypePolicy("float32")
    policies = {".*/feed_forward.*": high, "lm/transformer/final_norm": high}
    return GPT2CausalLM(CONFIG, dtype=DTypePolicyMap(low, policies), name="lm")


MODELS = [
    causal_lm,
    untied_bfloat16,
    recurrent,
    classifier,
    backbone_in_a_classifier,
    policy_per_layer,
]


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("make", MODELS)
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


def test_a_quantised_model_has_copies():
    model = stack_in_a_sequence()
    model.quantize("int8")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for each in (clone, copy.deepcopy(model)):
        np.testing.assert_array_equal(np.asarray(each(IDS)), np.asarray(model(IDS)))


def test_a_layer_of_another_name_is_quantised_as_its_configuration_says():
    stack = backbone_alone()
    stack.quantize("int8")
    other = GPT2.from_config({**stack.get_config(), "name": "other"})
    other.build()
    other.set_weights(stack.get_weights())
    np.testing.assert_array_equal(np.asarray(other(IDS)), np.asarray(stack(IDS)))


def test_a_quantised_embedding_comes_back_from_its_file_and_goes_again(tmp_path):
    model = causal_lm()
    model.build()
    model.backbone.embedding.token_embedding.quantize("int8", type_check=False)
    rounded = np.asarray(model(IDS))
    for turn in range(2):
        model.save(tmp_path / f"{turn}.keras")
        model = keras.saving.load_model(tmp_path / f"{turn}.keras")
        np.testing.assert_array_equal(np.asarray(model(IDS)), rounded)


def test_a_map_of_paths_as_of_top_level_models_is_understood():
    model = causal_lm()
    model.build()
    model.quantize("int8")
    paths = {layer.path: layer.dtype_policy for layer in model._flatten_layers() if layer.quantization_mode}
    again = GPT2CausalLM(CONFIG, dtype=DTypePolicyMap("float32", paths), name=model.name)
    again.build()
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(np.asarray(again(IDS)), np.asarray(model(IDS)))


def test_a_policy_per_layer_comes_back_from_its_file(tmp_path):
    model = policy_per_layer()
    fresh = GPT2CausalLM.from_config(model.get_config())  # of a model without weights
    fresh.build()
    logits = np.asarray(model(IDS))
    given = {layer.path: layer.compute_dtype for layer in model._flatten_layers()}
    assert (
        given["lm/transformer/final_norm"] == given["lm/transformer/block_1/feed_forward/expand"] == "float32"
    )
    assert {layer.path: layer.compute_dtype for layer in fresh._flatten_layers()} == given
    for turn in range(2):
        model.save(tmp_path / f"{turn}.keras")
        model = keras.saving.load_model(tmp_path / f"{turn}.keras")
        assert {layer.path: layer.compute_dtype for layer in model._flatten_layers()} == given
        np.testing.assert_array_equal(np.asarray(model(IDS)), logits)


def test_a_policy_given_to_the_layer_itself_by_its_name_is_kept():
    policies = {"block.*": DTypePolicy("float32")}
    block = TransformerBlock(2, 32, dtype=DTypePolicyMap("mixed_bfloat16", policies), name="block")
    block.build((None, None, 16))
    again = TransformerBlock.from_config(block.get_config())
    again.build((None, None, 16))
    assert {each.compute_dtype for each in (*block._flatten_layers(), *again._flatten_layers())} == {
        "float32"
    }
    hidden = np.ones((1, 3, 16), "float32")
    assert again(hidden, None)[0].dtype == block(hidden, None)[0].dtype == "float32"


@keras.saving.register_keras_serializable("tests")
class Classifier(GPT2CausalLM):
    """A head of one's own, called as a layer of each block is."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.scores = keras.layers.Dense(3, dtype=self.dtype_policy, name="output")

    def build(self, input_shape=None):
        super().build(input_shape)
        if not self.scores.built:
            self.scores.build((None, None, CONFIG.hidden_dim))

    def call(self, token_ids, training=None):
        return self.scores(self.backbone(token_ids, training=training))


@pytest.mark.parametrize("whole", [True, False])
def test_a_layer_called_as_another_deeper_in_the_model_has_its_own_policy(whole, tmp_path):
    model = Classifier(CONFIG)
    model.build()
    (model if whole else model.scores).quantize("int8")
    modes = {layer.path: layer.quantization_mode for layer in model._flatten_layers()}
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert {layer.path: layer.quantization_mode for layer in again._flatten_layers()} == modes
    np.testing.assert_array_equal(np.asarray(again(IDS)), np.asarray(model(IDS)))
