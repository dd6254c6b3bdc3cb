"""The name table covers every variable once, in Hugging Face's words."""

from safetensors.numpy import load_file

from kerasgpt.checkpoints.mapping import named_arrays, variables_by_name
from kerasgpt.models.gpt2 import GPT2CausalLM


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
