"""The name table covers every variable once, in Hugging Face's words."""

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasgpt.checkpoints.mapping import (
    assign_arrays,
    named_arrays,
    shapes_by_name,
    variables_by_name,
    weights,
)
from kerasgpt.checkpoints.stored import StoredArray
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.models.causal_lm import model_class
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.recurrent_config import RecurrentConfig

TINY = GPT2Config(vocabulary_size=7, max_sequence_length=5, num_layers=2, num_heads=1, hidden_dim=4)


def test_the_table_names_every_variable_once(golden_folder):
    model = GPT2CausalLM.from_preset(golden_folder)
    named = variables_by_name(model)
    weights = {id(variable) for variable in model.trainable_variables}
    assert {id(variable) for variable in named.values()} == weights
    assert len(named) == len(weights)


def test_names_and_shapes_are_hugging_faces(golden_folder):
    ours = named_arrays(GPT2CausalLM.from_preset(golden_folder))
    theirs = load_file(golden_folder / "model.safetensors")
    assert {name: array.shape for name, array in ours.items()} == {
        name: array.shape for name, array in theirs.items()
    }


@pytest.mark.parametrize("tied", [True, False])
def test_the_shapes_are_known_from_the_configuration_alone(tied):
    config = TINY.replace(tie_word_embeddings=tied, intermediate_dim=6)
    found = {name: array.shape for name, array in named_arrays(GPT2CausalLM(config)).items()}
    assert found == shapes_by_name(config)
    assert list(found) == list(shapes_by_name(config))
    assert sum(np.prod(shape) for shape in found.values()) == config.num_parameters


@pytest.mark.parametrize("column", ["huggingface", "openai", "tensorflow", "keras_hub"])
def test_no_format_has_a_name_twice(column):
    names = [getattr(row, column) for row in weights(TINY)]
    assert len(set(names)) == len(names) == 2 + 2 * 12 + 2


def test_a_model_filled_while_it_is_built_is_the_model_built_first():
    """Weights, names and paths, and how it would begin if it were made anew."""
    arrays = {name: np.full(shape, 0.5, "float32") for name, shape in shapes_by_name(TINY).items()}
    built, fresh = GPT2CausalLM(TINY, name="m"), GPT2CausalLM(TINY, name="m")
    built.build()
    for model in (built, fresh):
        assign_arrays(model, arrays, "memory")
    paths = [[variable.path for variable in model.trainable_variables] for model in (built, fresh)]
    assert paths[0] == paths[1]
    assert all(np.array_equal(array, arrays[name]) for name, array in named_arrays(fresh).items())
    start = fresh.backbone.embedding.token_embedding.embeddings_initializer
    assert isinstance(start, keras.initializers.RandomNormal)


def test_nothing_changes_where_names_or_shapes_are_wrong():
    model = GPT2CausalLM(TINY)
    before = named_arrays(model)
    arrays = {name: array + 1 for name, array in before.items()}
    arrays["transformer.ln_f.bias"] = StoredArray("final/beta", (5,), lambda: np.zeros(5))
    with pytest.raises(KerasGPTError, match=r"memory: final/beta has shape \(5,\), .* asks for \(4,\)"):
        assign_arrays(model, arrays, "memory")
    arrays["transformer.h.2.ln_1.bias"] = arrays.pop("transformer.ln_f.bias")
    with pytest.raises(KerasGPTError, match=r"has no transformer\.ln_f\.bias \(1 missing, 1 unexpected"):
        assign_arrays(model, arrays, "memory")
    assert all(np.array_equal(array, before[name]) for name, array in named_arrays(model).items())


def test_one_weight_under_two_names_is_refused():
    model = GPT2CausalLM(TINY)
    arrays = named_arrays(model)
    arrays["wte.weight"] = arrays["transformer.wte.weight"] + 1
    sentence = r"memory: holds transformer\.wte\.weight and wte\.weight, which are the same weight"
    with pytest.raises(KerasGPTError, match=sentence):
        assign_arrays(model, arrays, "memory")


def test_weights_are_read_one_at_a_time():
    """Each is read when the one before is in the model, and no reader keeps what it read."""
    read = []

    def stored(name, shape):
        def numbers():
            read.append(name)
            return np.zeros(shape, "float32")

        return StoredArray(name, shape, numbers)

    arrays = {name: stored(name, shape) for name, shape in shapes_by_name(TINY).items()}
    assign_arrays(GPT2CausalLM(TINY), arrays, "memory")
    assert read == list(shapes_by_name(TINY))


def test_arrays_read_before_a_step_of_training_are_as_they_were():
    """They may be the backend's own memory."""
    keras.utils.set_random_seed(0)
    model = GPT2CausalLM(TINY)
    model.build()
    before = named_arrays(model)
    copies = {name: array.copy() for name, array in before.items()}
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for optimizer in (keras.optimizers.AdamW(0.1), keras.optimizers.SGD(0.1)):
        model.compile(optimizer, loss)
        model.fit(ids, ids, verbose=0)
        assert all(np.array_equal(before[name], copies[name]) for name in before)
    after = named_arrays(model)
    assert not any(np.array_equal(after[name], copies[name]) for name in before)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("config", [TINY, RecurrentConfig("gru", 7, hidden_dim=4, embedding_dim=3)])
def test_a_quantised_model_is_refused_and_nothing_is_written(config, tmp_path):
    model = model_class(config)(config)
    model.build()
    model.quantize("int8")
    with pytest.raises(UsageError, match=": is quantised to int8; give the model before `quantize`"):
        model.save_to_preset(tmp_path / "model")
    assert not any(tmp_path.iterdir())
    with pytest.raises(UsageError, match="is quantised to int8"):
        variables_by_name(model)


def test_one_quantised_layer_is_enough():
    model = GPT2CausalLM(TINY)
    model.build()
    model.backbone.blocks[1].feed_forward.expand.quantize("int8")
    with pytest.raises(UsageError, match="block_1/feed_forward/expand: is quantised to int8"):
        named_arrays(model)
