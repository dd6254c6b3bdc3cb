"""A graph of integers that needs one operator beyond the standard, and answers as its weights say."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from kerasgpt.config import GPT2Config
from kerasgpt.export import onnx_file
from kerasgpt.export.kernels import TOKENS, Standard
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_nodes import Graph
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.export.portable_kernels import PortableBlockwise

CONFIG = GPT2Config(vocabulary_size=23, max_sequence_length=7, num_layers=2, num_heads=2, hidden_dim=32)
IDS = np.array([[3, 22, 0], [7, 7, 1]])
BITS = [(8, None), (4, 8), (4, None)]  # of the projections; of the table, if others


def weights(config: GPT2Config) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = weight_shapes(config).items()
    return {name: generator.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes}


def run(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


@pytest.mark.parametrize("width", [32, 128, 20])  # of one block, of another size, and of one filled up
@pytest.mark.parametrize(("bits", "head_bits"), BITS)
def test_a_row_is_what_its_integers_stand_for(
    width: int, bits: int, head_bits: int | None, tmp_path: Path
) -> None:
    config = CONFIG.replace(hidden_dim=width)
    kernels, graph = PortableBlockwise(bits, head_bits), Graph()
    rows = kernels.embedding(graph, config, "ids")
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "time"])]
    outputs = [helper.make_tensor_value_info(rows, TensorProto.FLOAT, ["batch", "time", width])]
    body = helper.make_graph(graph.nodes, "rows", inputs, outputs, list(graph.constants.values()))
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    stored = kernels.tensors(config, weights(config))
    table = {name: array for name, array in stored.items() if name.startswith(TOKENS)}
    onnx_file.save(model, table, tmp_path / "rows.onnx")
    onnx.checker.check_model(tmp_path / "rows.onnx", full_check=True)
    expected = kernels.quantized(config, weights(config))[TOKENS].dequantized()[IDS]
    np.testing.assert_allclose(run(tmp_path / "rows.onnx", {"ids": IDS}), expected, rtol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("bits", "head_bits"), BITS)
def test_one_operator_is_not_of_the_standard(
    tied: bool, bits: int, head_bits: int | None, tmp_path: Path
) -> None:
    config, path = CONFIG.replace(tie_word_embeddings=tied), tmp_path / "model.onnx"
    write_onnx(config, weights(config), path, kernels=PortableBlockwise(bits, head_bits))
    nodes = onnx.load(path).graph.node
    assert {(node.domain, node.op_type) for node in nodes if node.domain} == {
        ("com.microsoft", "MatMulNBits")
    }
    assert len(nodes) <= 30 * config.num_layers + 30


@pytest.mark.parametrize(("bits", "head_bits"), BITS)
def test_the_graph_answers_as_one_of_the_rounded_weights(
    bits: int, head_bits: int | None, tmp_path: Path
) -> None:
    given = weights(CONFIG)
    exact = PortableBlockwise(bits, head_bits, accuracy_level=0)
    write_onnx(CONFIG, given, tmp_path / "integers.onnx", kernels=exact)
    rounded = Standard(rounded=exact.quantized(CONFIG, given))
    write_onnx(CONFIG, given, tmp_path / "rounded.onnx", kernels=rounded)
    positions = np.broadcast_to(np.arange(3), IDS.shape)
    feeds = {"input_ids": IDS, "attention_mask": np.ones_like(IDS), "position_ids": positions}
    nothing = np.zeros((2, CONFIG.num_heads, 0, CONFIG.head_dim), np.float32)
    layers = range(CONFIG.num_layers)
    feeds |= {f"past_key_values.{i}.{part}": nothing for i in layers for part in ("key", "value")}
    logits = [run(tmp_path / f"{name}.onnx", feeds) for name in ("integers", "rounded")]
    np.testing.assert_allclose(*logits, atol=1e-5)
