import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
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


@pytest.mark.parametrize("largest_file", [onnx_file.LARGEST_FILE, 0], ids=["one file", "beside"])
def test_a_full_disk_leaves_the_old_file(
    largest_file: int, tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "model.onnx"
    onnx_file.save(model(), WEIGHTS, path)
    before = path.read_bytes()
    larger = {"a": WEIGHTS["a"] + 1, "b": WEIGHTS["b"], "c": np.zeros(100_000, np.float32)}
    with full_disk(50_000), pytest.raises(KerasGPTError, match="File too large"):
        onnx_file.save(model(), larger, path, largest_file=largest_file)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_one_file_is_what_protobuf_itself_would_read_and_write(tmp_path: Path) -> None:
    path, given = tmp_path / "model.onnx", model()
    given.producer_name = "kerasgpt"
    shapes = {"scalar": (), "empty": (0, 4), "long": (300, 300), "b": (1, 3)}
    weights = {
        name: np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape)
        for (name, shape), dtype in zip(shapes.items(), ("float32", "int8", "float16", "int64"), strict=True)
    }
    onnx_file.save(given, weights, path)
    read = onnx.load(path)
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in read.graph.initializer}
    assert list(arrays) == list(weights)
    for name, array in weights.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(arrays[name], array)
    assert len(read.SerializeToString()) == path.stat().st_size
    del read.graph.initializer[:]
    assert read == given


@pytest.mark.parametrize("largest_file", [onnx_file.LARGEST_FILE, 0], ids=["one file", "beside"])
def test_weights_are_not_copied_on_their_way(largest_file: int, tmp_path: Path) -> None:
    weights = {"a": np.ones((1000, 4000), np.float32), "b": np.ones(4_000_000, np.float32)}
    tracemalloc.start()
    onnx_file.save(model(), weights, tmp_path / "model.onnx", largest_file=largest_file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6 < weights["a"].nbytes
