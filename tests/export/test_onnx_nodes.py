import numpy as np

from kerasgpt.export.onnx_nodes import MICROSOFT, Graph


def test_outputs_are_named_after_their_node_unless_given():
    graph = Graph()
    graph.scope = "h.0"
    assert graph.add("Relu", "x") == "h.0/Relu_0:0"
    assert graph.add("Relu", "x", output="y") == "y"
    assert graph.add_many("Split", "x", outputs=["a", None, ""]) == ["a", "", "h.0/Split_2:2"]
    assert [list(node.output) for node in graph.nodes] == [
        ["h.0/Relu_0:0"],
        ["y"],
        ["a", "", "h.0/Split_2:2"],
    ]


def test_a_constant_is_kept_once():
    graph = Graph()
    assert graph.constant("one", 1) == graph.constant("one", 1) == "one"
    assert graph.constant("half", 0.5, np.float32) == "half"
    assert [tensor.name for tensor in graph.constants.values()] == ["one", "half"]


def test_only_the_domains_in_use_are_named():
    graph = Graph()
    graph.add("Relu", "x")
    assert graph.opsets == {"": 20}
    graph.add("FastGelu", "x", domain=MICROSOFT)
    assert graph.opsets == {"": 20, MICROSOFT: 1}
