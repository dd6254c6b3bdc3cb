from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError
from kerasgpt.runtime.graph import data_files, read_graph

FILES = (artifacts.ONNX_MODEL, artifacts.FAST_FP32, artifacts.FAST_INT8, artifacts.FAST_INT4)


def shape_of(value: onnx.ValueInfoProto) -> list[int | str]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize("name", FILES)
def test_a_graph_is_what_the_onnx_package_reads(bundle: Path, name: str) -> None:
    graph, expected = read_graph(bundle / name), onnx.load(bundle / name)
    assert graph.ir_version == expected.ir_version
    assert graph.producer == f"{expected.producer_name} {expected.producer_version}"
    assert graph.opsets == {entry.domain or "ai.onnx": entry.version for entry in expected.opset_import}
    assert [(node.operator, node.name, node.domain, node.inputs) for node in graph.nodes] == [
        (node.op_type, node.name, node.domain, list(node.input)) for node in expected.graph.node
    ]
    assert [node.numbers for node in graph.nodes] == [
        {entry.name: entry.i for entry in node.attribute if entry.type == onnx.AttributeProto.INT}
        for node in expected.graph.node
    ]
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in expected.graph.initializer}
    assert {
        name: (tensor.dtype, tensor.shape, tensor.num_bytes) for name, tensor in graph.weights.items()
    } == {name: (array.dtype.name, list(array.shape), array.nbytes) for name, array in arrays.items()}
    for ours, theirs in ((graph.inputs, expected.graph.input), (graph.outputs, expected.graph.output)):
        assert [(tensor.name, tensor.shape) for tensor in ours] == [
            (value.name, shape_of(value)) for value in theirs
        ]
    assert (graph.inputs[0].dtype, graph.outputs[0].dtype) == ("int64", "float32")


def test_other_writers_dimensions_and_types_are_read(tmp_path: Path) -> None:
    unknown = helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [None, 3])
    listed = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [unknown], [listed])
    (tmp_path / "g.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    read = read_graph(tmp_path / "g.onnx")
    assert (read.inputs[0].dtype, read.inputs[0].shape) == ("bfloat16", ["?", 3])
    assert (read.outputs[0].dtype, read.outputs[0].shape) == ("", [])


def test_a_damaged_file_is_an_error_or_a_graph_but_never_another_failure(bundle: Path) -> None:
    path = bundle / artifacts.FAST_INT8
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 20):
            damaged[place] = generator.integers(256)
        path.write_bytes(damaged[: generator.integers(len(whole))])
        try:
            read_graph(path)
        except KerasGPTError:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"{}", b"\x08\x0a", b"some text"])
def test_what_is_no_onnx_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(KerasGPTError, match=r"x\.onnx: not an ONNX file"):
        read_graph(tmp_path / "x.onnx")
    with pytest.raises(KerasGPTError, match="No such file"):
        read_graph(tmp_path / "none.onnx")


@pytest.fixture
def beside(bundle: Path) -> onnx.ModelProto:
    """A model whose weights lie in a file beside it."""
    model = onnx.load(bundle / artifacts.ONNX_MODEL)
    onnx.save(
        model, bundle / "onnx/beside.onnx", save_as_external_data=True, location="data", size_threshold=0
    )
    return onnx.load(bundle / "onnx/beside.onnx", load_external_data=False)


def moved(bundle: Path, model: onnx.ModelProto, location: str) -> Path:
    """The same file, whose weights it says to be elsewhere."""
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    (bundle / "onnx/beside.onnx").write_bytes(model.SerializeToString())
    return bundle / "onnx/beside.onnx"


def test_weights_beside_the_file_are_found(bundle: Path, beside: onnx.ModelProto) -> None:
    path = bundle / "onnx/beside.onnx"
    assert data_files(path, read_graph(path)) == [bundle / "onnx/data"]
    inside = bundle / artifacts.ONNX_MODEL
    assert data_files(inside, read_graph(inside)) == []


@pytest.mark.parametrize("location", ["../config.json", "/etc/passwd", "deep/../../config.json"])
def test_weights_outside_the_folder_are_refused(bundle: Path, beside: onnx.ModelProto, location: str) -> None:
    path = moved(bundle, beside, location)
    with pytest.raises(
        KerasGPTError, match=r"beside\.onnx: its weights lie in .* outside its folder; refused"
    ):
        data_files(path, read_graph(path))


def test_missing_weights_are_named(bundle: Path, beside: onnx.ModelProto) -> None:
    path = moved(bundle, beside, "gone")
    with pytest.raises(
        KerasGPTError, match=r"onnx/gone: is missing, and beside\.onnx keeps its weights there"
    ):
        data_files(path, read_graph(path))


def test_a_weight_beyond_all_files_is_refused(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(bundle / artifacts.ONNX_MODEL)
    model.graph.initializer[0].dims[:] = [2**60] * 20
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(KerasGPTError, match=r"model\.onnx: .* claims more numbers than any file holds"):
        read_graph(tmp_path / "model.onnx")
