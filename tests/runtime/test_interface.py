"""Graphs of other forms are refused when they are opened, and a failing run is a sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto

from kerasgpt import GenerationConfig, artifacts, load
from kerasgpt.errors import KerasGPTError
from kerasgpt.runtime.language_model import open_step_model

FREE, FIXED = "n", 3


def _dims(model: Any, name: str) -> Any:
    values = [*model.graph.input, *model.graph.output]
    return next(value for value in values if value.name == name).type.tensor_type.shape.dim


def _set(model: Any, name: str, axis: int, size: int | str) -> None:
    dim = _dims(model, name)[axis]
    dim.Clear()
    if isinstance(size, int):
        dim.dim_value = size
    else:
        dim.dim_param = size


def _retyped(model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["input_ids"], ["wide"], to=TensorProto.INT64))
    for node in model.graph.node[1:]:
        node.input[:] = ["wide" if name == "input_ids" else name for name in node.input]


def _without_caches(model: Any) -> None:
    for value in model.graph.input:
        if value.name.startswith("past"):
            value.name = f"q{value.name}"
    for node in model.graph.node:
        node.input[:] = [f"q{name}" if name.startswith("past") else name for name in node.input]


def _renumbered(model: Any) -> None:
    """The last layer's cache by another number."""
    for value in (*model.graph.input, *model.graph.output):
        value.name = value.name.replace(".1.", ".7.")
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [
                name.replace(".1.", ".7.") if name.startswith(("past_key", "present")) else name
                for name in names
            ]


CHANGES = {
    r"it has no input past_key_values\.1\.key": _renumbered,
    "input_ids is a tensor.int32. of shape": _retyped,
    r"past_key_values\.0\.key is a tensor.float. of shape .*'n'": lambda m: _set(
        m, "past_key_values.0.key", 1, FREE
    ),
    r"past_key_values\.1\.key is .* 3,": lambda m: _set(m, "past_key_values.1.key", 2, FIXED),
    r"position_ids is .* \[3,": lambda m: _set(m, "position_ids", 0, FIXED),
    r"it has no input past_key_values\.\*": _without_caches,
}


@pytest.mark.parametrize("name", [artifacts.ONNX_MODEL, artifacts.FAST_FP32])
@pytest.mark.parametrize("sentence", CHANGES)
def test_a_graph_of_another_form_is_refused_as_it_is_opened(bundle, tmp_path, name, sentence):
    folder = shutil.copytree((bundle / name).parent, tmp_path / "onnx")
    path = folder / Path(name).name
    model = onnx.load(path, load_external_data=False)
    CHANGES[sentence](model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(KerasGPTError, match=f"not a language model as exported here: {sentence}"):
        open_step_model(path, max_sequence_length=48)


@pytest.mark.parametrize("name", [artifacts.ONNX_MODEL, artifacts.FAST_FP32])
def test_a_configuration_beyond_the_graph_s_context_fails_in_a_sentence(bundle, tmp_path, capfd, name):
    copy = shutil.copytree(bundle, tmp_path / "other")
    config = json.loads((copy / artifacts.CONFIG).read_text())
    (copy / artifacts.CONFIG).write_text(json.dumps({**config, "n_positions": 2 * config["n_positions"]}))
    if name == artifacts.ONNX_MODEL:
        (copy / artifacts.FAST_FP32).unlink()
    lm = load(copy, "onnx")
    room = config["n_positions"] + 1
    with pytest.raises(KerasGPTError, match=rf"{Path(name).name}: fails as it runs .* config\.json"):
        lm.generate(["the"], GenerationConfig(max_new_tokens=room, min_new_tokens=room))
    assert capfd.readouterr().err == ""  # nor does ONNX Runtime print it
