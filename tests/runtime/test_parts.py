from pathlib import Path

import pytest

from kerasgpt import artifacts
from kerasgpt.runtime.graph import Graph, Node, Tensor, read_graph
from kerasgpt.runtime.parts import part_of, parts

# Of the fixture's model: 257 ids, 48 positions, 3 layers, width 32, feed-forward width 128.
NUMBERS = {"embeddings": (257 + 48) * 32, "attention": 3 * 4 * 32 * 32, "feed_forward": 3 * 2 * 32 * 128}


def test_a_float32_graph_is_float32_in_each_part(bundle: Path) -> None:
    found = parts(read_graph(bundle / artifacts.ONNX_MODEL))
    assert list(found) == ["embeddings", "attention", "feed_forward", "head", "norms"]
    assert {(row["dtype"], row["bits"]) for rows in found.values() for row in rows} == {("float32", 32)}
    biases = {"attention": 3 * (3 * 32 + 32), "feed_forward": 3 * (128 + 32)}
    for part, count in NUMBERS.items():
        assert sum(row["size_bytes"] for row in found[part]) == 4 * (count + biases.get(part, 0))
    assert found["norms"][0]["num_tensors"] == 2 * (2 * 3 + 1)
    (head,) = found["head"]
    assert (head["size_bytes"], head["shared_with"]) == (4 * 257 * 32, "embeddings")


@pytest.mark.parametrize(("name", "bits"), [(artifacts.FAST_INT8, 8), (artifacts.FAST_INT4, 4)])
def test_a_quantised_graph_says_its_bits_and_blocks(bundle: Path, name: str, bits: int) -> None:
    found = parts(read_graph(bundle / name))
    # The feed-forward layer's second matrix has longer rows than the others, and larger blocks.
    for part, sizes in (("attention", {32}), ("feed_forward", {32, 128})):
        rows = [row for row in found[part] if "block_size" in row]
        assert {row["block_size"] for row in rows} == sizes
        assert {row["bits"] for row in rows} == {bits}
        assert sum(row["size_bytes"] for row in rows) == NUMBERS[part] * bits // 8
    assert {row["dtype"] for row in found["norms"]} == {"float32"}
    assert found["head"][0]["shared_with"] == "embeddings"


def test_foreign_nodes_are_other_parts() -> None:
    assert part_of(Node("MatMul", "model/layer_1/MatMul")) == "other"
    weight, axis = Tensor("w", "float16", 16, [2, 3]), Tensor("axis", "int64", 64, [1])
    graph = Graph(nodes=[Node("MatMul", inputs=["x", "w", "axis", "w"])], weights={"w": weight, "axis": axis})
    assert parts(graph) == {"other": [{"dtype": "float16", "bits": 16, "num_tensors": 1, "size_bytes": 12}]}
