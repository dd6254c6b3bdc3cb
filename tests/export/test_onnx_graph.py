import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from safetensors.numpy import load_file

from kerasgpt.config import ACTIVATIONS, GPT2Config, read_json
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.kernels import Standard
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_weights import weight_shapes

SMALL = GPT2Config(
    vocabulary_size=37, max_sequence_length=20, num_layers=3, num_heads=2, hidden_dim=8, bos_token_id=0
)
Arrays = dict[str, np.ndarray]


def random_weights(config: GPT2Config, seed: int = 0) -> Arrays:
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }


class Graph:
    """An ONNX file in a session, run by names."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.caches = {
            value.name: value.shape for value in self.session.get_inputs() if value.name.startswith("past")
        }

    def __call__(self, ids: np.ndarray, mask=None, positions=None, past: Arrays | None = None) -> Arrays:
        if past is None:
            past = {
                name: np.zeros((len(ids), shape[1], 0, shape[3]), np.float32)
                for name, shape in self.caches.items()
            }
        start = next(iter(past.values())).shape[2]
        if mask is None:
            mask = np.ones((len(ids), start + ids.shape[1]), np.int64)
        if positions is None:
            positions = np.broadcast_to(np.arange(start, start + ids.shape[1]), ids.shape)
        feeds = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, **past}
        return dict(zip(self.outputs, self.session.run(None, feeds), strict=True))


def past_of(outputs: Arrays) -> Arrays:
    return {
        name.replace("present", "past_key_values"): array
        for name, array in outputs.items()
        if name != "logits"
    }


# --- against Hugging Face -------------------------------------------------------------------------------


@pytest.fixture
def golden_graph(golden_folder: Path, tmp_path: Path) -> Graph:
    config = GPT2Config.from_huggingface(read_json(golden_folder / "config.json"))
    write_onnx(config, load_file(golden_folder / "model.safetensors"), tmp_path / "model.onnx")
    return Graph(tmp_path / "model.onnx")


def test_logits_and_cache_equal_hugging_face(golden_graph: Graph, golden: Arrays) -> None:
    outputs = golden_graph(golden["input_ids"])
    assert np.abs(outputs["logits"] - golden["logits_float64"]).max() <= 1e-5


def test_left_padding_equals_hugging_face(golden_graph: Graph, golden: Arrays) -> None:
    mask = golden["left_mask"]
    outputs = golden_graph(golden["input_ids"], mask, golden["left_position_ids"])
    seen = mask.astype(bool)
    assert np.abs(outputs["logits"] - golden["left_logits"])[seen].max() <= 1e-5
    assert np.isfinite(outputs["logits"]).all()
    columns = np.broadcast_to(seen[:, None, :, None], golden["key0"].shape)
    for name, expected in (("present.0.key", "key0"), ("present.0.value", "value0")):
        assert np.abs(outputs[name] - golden[expected])[columns].max() <= 1e-5


def test_greedy_ids_equal_hugging_face(golden_graph: Graph, golden: Arrays) -> None:
    mask, positions = golden["left_mask"], golden["left_position_ids"]
    outputs = golden_graph(golden["input_ids"], mask, positions)
    ids, written = golden["input_ids"], []
    for _ in range(golden["greedy"].shape[1] - ids.shape[1]):
        written.append(outputs["logits"][:, -1].argmax(-1))
        mask = np.pad(mask, ((0, 0), (0, 1)), constant_values=1)
        positions = positions[:, -1:] + 1
        outputs = golden_graph(written[-1][:, None], mask, positions, past_of(outputs))
    np.testing.assert_array_equal(np.stack(written, 1), golden["greedy"][:, ids.shape[1] :])


# --- against GPT-2 written out in numpy, one position at a time -----------------------------------------


def normalised(x: np.ndarray, weights: Arrays, name: str, epsilon: float) -> np.ndarray:
    scaled = (x - x.mean()) / np.sqrt(x.var() + epsilon)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def activate(name: str, x: np.ndarray) -> np.ndarray:
    functions: dict[str, Callable[[float], float]] = {
        "gelu_new": lambda v: 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))),
        "gelu": lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))),
        "relu": lambda v: max(v, 0.0),
        "silu": lambda v: v / (1 + math.exp(-v)),
        "tanh": math.tanh,
    }
    return np.array([functions[name](value) for value in x])


def naive_logits(config: GPT2Config, weights: Arrays, ids: list[int]) -> np.ndarray:
    """Logits (T, V) in float64, from the definition."""
    w = {name.removeprefix("transformer."): array.astype(np.float64) for name, array in weights.items()}
    epsilon, width = config.layer_norm_epsilon, config.hidden_dim // config.num_heads
    hidden = [w["wte.weight"][index] + w["wpe.weight"][place] for place, index in enumerate(ids)]
    for layer in range(config.num_layers):
        h = f"h.{layer}"
        fused = [
            normalised(x, w, f"{h}.ln_1", epsilon) @ w[f"{h}.attn.c_attn.weight"] + w[f"{h}.attn.c_attn.bias"]
            for x in hidden
        ]
        divisor = math.sqrt(width) if config.scale_attn_weights else 1.0
        divisor *= layer + 1 if config.scale_attn_by_inverse_layer_idx else 1
        for place in range(len(ids)):
            parts = []
            for head in range(config.num_heads):
                columns = [np.arange(width) + part * config.hidden_dim + head * width for part in range(3)]
                scores = [fused[place][columns[0]] @ fused[k][columns[1]] / divisor for k in range(place + 1)]
                shares = np.exp(np.array(scores) - max(scores))
                shares /= shares.sum()
                parts.append(sum(share * fused[k][columns[2]] for k, share in enumerate(shares)))
            context = np.concatenate(parts)
            x = hidden[place] + context @ w[f"{h}.attn.c_proj.weight"] + w[f"{h}.attn.c_proj.bias"]
            inner = (
                normalised(x, w, f"{h}.ln_2", epsilon) @ w[f"{h}.mlp.c_fc.weight"] + w[f"{h}.mlp.c_fc.bias"]
            )
            inner = activate(config.activation, inner)
            hidden[place] = x + inner @ w[f"{h}.mlp.c_proj.weight"] + w[f"{h}.mlp.c_proj.bias"]
    head_table = w["wte.weight"] if config.tie_word_embeddings else w["lm_head.weight"]
    return np.stack([head_table @ normalised(x, w, "ln_f", epsilon) for x in hidden])


@pytest.mark.parametrize(
    "changes",
    [
        *({"activation": name} for name in ACTIVATIONS),
        {"intermediate_dim": 11},
        {"layer_norm_epsilon": 0.1},
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
        {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True},
        {"tie_word_embeddings": False},
        {"num_heads": 8},
        {"num_layers": 1, "num_heads": 1},
        {"reorder_and_upcast_attn": True},
    ],
    ids=str,
)
def test_every_setting_that_changes_numbers_is_honoured(changes: dict, tmp_path: Path) -> None:
    config = SMALL.replace(**changes)
    weights = random_weights(config)
    write_onnx(config, weights, tmp_path / "model.onnx")
    ids = np.random.default_rng(1).integers(0, 37, (2, 9))
    logits = Graph(tmp_path / "model.onnx")(ids)["logits"]
    for row, expected_ids in zip(logits, ids.tolist(), strict=True):
        np.testing.assert_allclose(row, naive_logits(config, weights, expected_ids), atol=2e-5)


# --- one graph, many ways to call it ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    write_onnx(SMALL, random_weights(SMALL), path)
    return Graph(path)


IDS = np.random.default_rng(2).integers(0, 37, (3, 12))


@pytest.mark.parametrize("pieces", [[12], [1] * 12, [5, 7], [3, 1, 4, 4]], ids=str)
def test_cached_equals_uncached(small_graph: Graph, pieces: list[int]) -> None:
    whole = small_graph(IDS)
    past, start, logits = None, 0, []
    for size in pieces:
        outputs = small_graph(IDS[:, start : start + size], past=past)
        past, start = past_of(outputs), start + size
        logits.append(outputs["logits"])
    np.testing.assert_allclose(np.concatenate(logits, 1), whole["logits"], atol=1e-5)
    np.testing.assert_allclose(outputs["present.2.value"], whole["present.2.value"], atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_equals_one_by_one(small_graph: Graph, side: str) -> None:
    lengths = [12, 3, 7]
    ids, mask, positions = (
        np.zeros((3, 12), np.int64),
        np.zeros((3, 12), np.int64),
        np.zeros((3, 12), np.int64),
    )
    slots = [slice(12 - n, 12) if side == "left" else slice(0, n) for n in lengths]
    for row, (slot, length) in enumerate(zip(slots, lengths, strict=True)):
        ids[row, slot], mask[row, slot], positions[row, slot] = IDS[row, :length], 1, np.arange(length)
    outputs = small_graph(ids, mask, positions)
    for row, (slot, length) in enumerate(zip(slots, lengths, strict=True)):
        alone = small_graph(IDS[row : row + 1, :length])["logits"][0]
        np.testing.assert_allclose(outputs["logits"][row, slot], alone, atol=1e-5)
    # One more token each, padding staying masked in the past.
    new = np.array([[1], [2], [3]])
    mask = np.pad(mask, ((0, 0), (0, 1)), constant_values=1)
    stepped = small_graph(new, mask, np.array(lengths)[:, None], past_of(outputs))["logits"]
    for row, length in enumerate(lengths):
        alone = small_graph(np.append(IDS[row, :length], new[row])[None])["logits"][0, -1]
        np.testing.assert_allclose(stepped[row, 0], alone, atol=1e-5)


def test_rows_that_may_see_nothing_stay_finite(small_graph: Graph) -> None:
    outputs = small_graph(IDS, np.zeros((3, 12), np.int64))
    assert all(np.isfinite(array).all() for array in outputs.values())


def test_positions_come_from_position_ids_only(small_graph: Graph) -> None:
    moved = small_graph(IDS, positions=np.broadcast_to(np.arange(5, 17), IDS.shape))["logits"]
    weights = random_weights(SMALL)
    weights["transformer.wpe.weight"] = np.roll(weights["transformer.wpe.weight"], -5, axis=0)
    np.testing.assert_allclose(moved[0], naive_logits(SMALL, weights, IDS[0].tolist()), atol=2e-5)


# --- the file ---------------------------------------------------------------------------------------------


def dims(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_names_types_and_shapes_are_the_convention(tmp_path: Path) -> None:
    write_onnx(SMALL, random_weights(SMALL), tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    both = "past_sequence_length + sequence_length"
    assert {value.name: dims(value) for value in graph.input} == {
        "input_ids": ["batch_size", "sequence_length"],
        "attention_mask": ["batch_size", both],
        "position_ids": ["batch_size", "sequence_length"],
    } | {
        f"past_key_values.{i}.{part}": ["batch_size", 2, "past_sequence_length", 4]
        for i in range(3)
        for part in ("key", "value")
    }
    assert {value.name: dims(value) for value in graph.output} == {
        "logits": ["batch_size", "sequence_length", 37]
    } | {f"present.{i}.{part}": ["batch_size", 2, both, 4] for i in range(3) for part in ("key", "value")}
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}
    integers = {name for name, kind in types.items() if kind == TensorProto.INT64}
    assert integers == {"input_ids", "attention_mask", "position_ids"}
    assert {kind for name, kind in types.items() if name not in integers} == {TensorProto.FLOAT}
    assert graph.output[0].name == "logits"


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("num_layers", [1, 5])
def test_the_graph_is_valid_plain_and_small(activation: str, num_layers: int, tmp_path: Path) -> None:
    config = SMALL.replace(activation=activation, num_layers=num_layers)
    write_onnx(config, random_weights(config), tmp_path / "model.onnx")
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    model = onnx.load(tmp_path / "model.onnx")
    assert model.ir_version == 10
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert not {node.op_type for node in model.graph.node} & {"Loop", "Scan", "If"}
    assert len(model.graph.node) <= 30 * num_layers + 30


@pytest.mark.parametrize("tied", [True, False])
def test_each_weight_is_stored_once(tied: bool, tmp_path: Path) -> None:
    config = SMALL.replace(tie_word_embeddings=tied, vocabulary_size=5000)
    write_onnx(config, random_weights(config), tmp_path / "model.onnx")
    num_bytes = (tmp_path / "model.onnx").stat().st_size
    assert 0 <= num_bytes - 4 * config.num_parameters <= 40_000


def test_large_weights_lie_beside_the_graph(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_onnx(SMALL, random_weights(SMALL), path)
    logits = Graph(path)(IDS)["logits"]
    write_onnx(SMALL, random_weights(SMALL), path, largest_file=1000)
    assert (tmp_path / "model.onnx_data").stat().st_size > 4 * SMALL.num_parameters > path.stat().st_size / 2
    onnx.checker.check_model(path, full_check=True)
    np.testing.assert_array_equal(Graph(path)(IDS)["logits"], logits)


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        write_onnx(SMALL, random_weights(SMALL), tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_other_float_types_are_written_as_float32(tmp_path: Path) -> None:
    weights = {name: array.astype(np.float64) for name, array in random_weights(SMALL).items()}
    write_onnx(SMALL, weights, tmp_path / "model.onnx")
    assert Graph(tmp_path / "model.onnx")(IDS)["logits"].dtype == np.float32


@pytest.mark.parametrize("name", ["transformer.wte.weight", "transformer.h.2.mlp.c_proj.bias"])
def test_missing_and_misshapen_weights_are_refused(name: str, tmp_path: Path) -> None:
    weights = random_weights(SMALL)
    weights[name] = weights[name][:-1]
    with pytest.raises(KerasGPTError, match=rf"{name} has shape"):
        write_onnx(SMALL, weights, tmp_path / "model.onnx")
    del weights[name]
    with pytest.raises(KerasGPTError, match=f"the weights lack {name}"):
        write_onnx(SMALL, weights, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


# --- float16 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
def test_in_half_precision_it_answers_nearly_the_same(tied: bool, tmp_path: Path) -> None:
    config = SMALL.replace(tie_word_embeddings=tied)
    weights = random_weights(config)
    write_onnx(config, weights, tmp_path / "model.onnx", kernels=Standard(half=True))
    outputs = Graph(tmp_path / "model.onnx")(IDS)
    expected = np.stack([naive_logits(config, weights, ids) for ids in IDS.tolist()])
    assert {array.dtype for array in outputs.values()} == {np.dtype(np.float32)}
    assert 0 < np.abs(outputs["logits"] - expected).max() < 0.01 * expected.std()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_half_precision_graph_is_plain_small_and_half_as_large(activation: str, tmp_path: Path) -> None:
    config = SMALL.replace(activation=activation, vocabulary_size=5000)
    write_onnx(config, random_weights(config), tmp_path / "model.onnx", kernels=Standard(half=True))
    onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert {node.domain for node in graph.node} == {""}
    assert len(graph.node) <= 30 * config.num_layers + 30
    assert (tmp_path / "model.onnx").stat().st_size < 2 * config.num_parameters + 40_000


def test_padding_that_sees_nothing_stays_finite_in_half_precision(tmp_path: Path) -> None:
    write_onnx(SMALL, random_weights(SMALL), tmp_path / "model.onnx", kernels=Standard(half=True))
    outputs = Graph(tmp_path / "model.onnx")(IDS, np.zeros((3, 12), np.int64))
    assert all(np.isfinite(array).all() for array in outputs.values())
