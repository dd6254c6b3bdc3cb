from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from kerasgpt.errors import KerasGPTError
from kerasgpt.export import onnx_file

WEIGHTS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([[1, 2, 3]], np.float32),
}


def model() -> onnx.ModelProto:
    """X + a + b."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy")
    nodes = [helper.make_node("Add", ["x", "a"], ["z"]), helper.make_node("Add", ["z", "b"], ["y"])]
    graph = helper.make_graph(nodes, "sum", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.zeros((2, 3), np.float32)})[0]


@pytest.mark.parametrize("largest_file", [onnx_file.LARGEST_FILE, 35], ids=["one file", "beside"])
def test_the_weights_are_read_back(largest_file: int, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model.onnx"
    onnx_file.save(model(), WEIGHTS, path, largest_file=largest_file)
    onnx.checker.check_model(path, full_check=True)
    np.testing.assert_array_equal(run(path), WEIGHTS["a"] + WEIGHTS["b"])
    names = {file.name for file in path.parent.iterdir()}
    assert names == ({"model.onnx"} if largest_file > 36 else {"model.onnx", "model.onnx_data"})


def test_weights_beside_are_named_and_aligned(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx_file.save(model(), WEIGHTS, path, largest_file=0)
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    entries = [{entry.key: entry.value for entry in tensor.external_data} for tensor in tensors]
    assert entries == [
        {"location": "model.onnx_data", "offset": "0", "length": "24"},
        {"location": "model.onnx_data", "offset": "4096", "length": "12"},
    ]


def test_one_file_takes_the_place_of_two(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx_file.save(model(), WEIGHTS, path, largest_file=0)
    onnx_file.save(model(), WEIGHTS, path)
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(run(path), WEIGHTS["a"] + WEIGHTS["b"])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KerasGPTError, match="cannot write"):
        onnx_file.save(model(), WEIGHTS, tmp_path / "file" / "model.onnx")


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    onnx_file.save(model(), WEIGHTS, path)
    before = path.read_bytes()

    def full_disk(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(KerasGPTError, match="No space left on device"):
        onnx_file.save(model(), {**WEIGHTS, "a": WEIGHTS["a"] + 1}, path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
