from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from kerasgpt.errors import UsageError
from kerasgpt.runtime.forward import ForwardModel
from kerasgpt.runtime.language_model import open_step_model

VOCABULARY = 5


@pytest.fixture
def model(tmp_path: Path) -> ForwardModel:
    """A graph whose logits are a row of a table for each id, without a cache."""
    table = np.arange(VOCABULARY * VOCABULARY, dtype=np.float32).reshape(VOCABULARY, VOCABULARY)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["logits"])],
        "table",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "t"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "t", VOCABULARY])],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    opened = open_step_model(path, max_sequence_length=9)
    assert isinstance(opened, ForwardModel)
    return opened


def test_it_answers_at_every_position(model: ForwardModel) -> None:
    assert (model.vocabulary_size, model.max_sequence_length) == (VOCABULARY, 9)
    logits = model.all_logits(np.array([[1, 0], [4, 4]], np.int32), np.array([2, 1]))
    assert logits[:, :, 0].tolist() == [[5, 0], [20, 20]]


def test_it_takes_no_steps(model: ForwardModel) -> None:
    one = np.array([1])
    for refused in (
        lambda: model.prefill(one[None], one),
        lambda: model.step(None, one),
        lambda: model.reorder(None, one),
    ):
        with pytest.raises(UsageError, match=r"model\.onnx: has the forward pass alone .* --writer direct"):
            refused()
