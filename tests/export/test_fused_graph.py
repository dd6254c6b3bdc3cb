"""The fused graph answers as the portable one, in every setting, with one buffer for past and present."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from kerasgpt.config import ACTIVATIONS, GPT2Config
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export.blockwise import Blockwise
from kerasgpt.export.folding import without_means
from kerasgpt.export.fused_graph import write_fused
from kerasgpt.export.kernels import Float32, dequantized
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.export.split_head import SplitHead

SMALL = GPT2Config(
    vocabulary_size=37, max_sequence_length=20, num_layers=3, num_heads=2, hidden_dim=16, bos_token_id=0
)
IDS = np.random.default_rng(2).integers(0, 37, (3, 12))
LENGTHS = np.array([12, 3, 7])
Arrays = dict[str, np.ndarray]


def random_weights(config: GPT2Config) -> Arrays:
    """Norms near 1, everything else of a size that makes every part count."""
    generator = np.random.default_rng(0)
    weights = {}
    for name, shape in weight_shapes(config).items():
        array = generator.normal(0, 0.3, shape).astype(np.float32)
        weights[name] = array + 1 if ".ln_" in name and name.endswith("weight") else array
    return weights


class Graph:
    """An ONNX file in a session, run by names."""

    def __init__(self, path: Path) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.caches = {
            value.name: value.shape for value in self.session.get_inputs() if value.name.startswith("past")
        }

    def __call__(self, ids, mask, positions, columns, past=None, offsets=None) -> Arrays:
        if past is None:
            past = {
                name: np.zeros((len(ids), shape[1], columns, shape[3]), np.float32)
                for name, shape in self.caches.items()
            }
        feeds = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, **past}
        if offsets is not None:
            feeds["logit_offsets"] = np.array(offsets)
        return dict(zip(self.outputs, self.session.run(None, feeds), strict=True))

    def read(self, ids: np.ndarray) -> np.ndarray:
        """Logits at all positions, nothing being past."""
        width = ids.shape[1]
        positions = np.broadcast_to(np.arange(width), ids.shape)
        portable = "logit_offsets" not in {v.name for v in self.session.get_overridable_initializers()}
        offsets = None if portable else np.arange(1 - width, 1)
        columns = 0 if portable else width
        return self(ids, np.ones_like(ids), positions, columns, offsets=offsets)["logits"]


def both(config: GPT2Config, folder: Path, kernels=None, weights=None) -> tuple[Graph, Graph]:
    """The portable and the fused graph of the same weights."""
    weights = weights or random_weights(config)
    write_onnx(config, weights, folder / "portable.onnx")
    write_fused(config, weights, folder / "fused.onnx", kernels or Float32())
    return Graph(folder / "portable.onnx"), Graph(folder / "fused.onnx")


@pytest.mark.parametrize(
    "changes",
    [
        *({"activation": activation} for activation in ACTIVATIONS),
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
        {"intermediate_dim": 24},
        {"tie_word_embeddings": False},
        {"layer_norm_epsilon": 0.1},
        {"num_heads": 1},
        {"hidden_dim": 24, "num_heads": 3},
        {"num_layers": 1},
    ],
    ids=str,
)
def test_it_answers_as_the_portable_graph(changes: dict, tmp_path: Path) -> None:
    portable, fused = both(SMALL.replace(**changes), tmp_path)
    np.testing.assert_allclose(fused.read(IDS), portable.read(IDS), atol=1e-4)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, Graph]:
    return both(SMALL, tmp_path_factory.mktemp("graphs"))


def prefilled(graph: Graph, columns: int) -> Arrays:
    mask = (np.arange(12) < LENGTHS[:, None]).astype(np.int64)
    return graph(IDS, mask, np.broadcast_to(np.arange(12), IDS.shape), columns)


def test_the_last_position_of_each_row_is_answered(pair: tuple[Graph, Graph]) -> None:
    portable, fused = pair
    logits = prefilled(fused, 20)["logits"]
    assert logits.shape == (3, 1, 37)
    expected = portable.read(IDS)[np.arange(3), LENGTHS - 1]
    np.testing.assert_allclose(logits[:, 0], expected, atol=1e-4)


def test_steps_after_ragged_prompts_equal_reading_it_all_again(pair: tuple[Graph, Graph]) -> None:
    portable, fused = pair
    outputs = prefilled(fused, 20)
    texts = [IDS[row, :length].tolist() for row, length in enumerate(LENGTHS)]
    for step, new in enumerate(np.random.default_rng(4).integers(0, 37, (4, 3))):
        past = {name.replace("present", "past_key_values"): a for name, a in outputs.items() if a.ndim == 4}
        lengths = LENGTHS + step
        mask = (np.arange(lengths.max() + 1) <= lengths[:, None]).astype(np.int64)
        outputs = fused(new[:, None], mask, lengths[:, None], 20, past)
        for row, text in enumerate(texts):
            text.append(int(new[row]))
            alone = portable.read(np.array([text]))[0, -1]
            np.testing.assert_allclose(outputs["logits"][row, 0], alone, atol=1e-4)


@pytest.mark.parametrize("pieces", [[1] * 12, [5, 7], [3, 1, 4, 4]], ids=str)
def test_cached_equals_uncached(pair: tuple[Graph, Graph], pieces: list[int]) -> None:
    portable, fused = pair
    past, start, logits = None, 0, []
    for size in pieces:
        ids, positions = IDS[:1, start : start + size], np.arange(start, start + size)[None]
        outputs = fused(ids, np.ones((1, start + size), np.int64), positions, 20, past, range(1 - size, 1))
        past = {name.replace("present", "past_key_values"): a for name, a in outputs.items() if a.ndim == 4}
        start += size
        logits.append(outputs["logits"])
    np.testing.assert_allclose(np.concatenate(logits, 1), portable.read(IDS[:1]), atol=1e-4)


# --- quantised ----------------------------------------------------------------------------------------------

WIDE = SMALL.replace(hidden_dim=64, num_heads=1, vocabulary_size=131, max_sequence_length=16)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": False}, {"hidden_dim": 40}, {"activation": "gelu"}, {"activation": "silu"}],
    ids=str,
)
def test_its_integers_are_the_dequantised_weights(bits: int, changes: dict, tmp_path: Path) -> None:
    config = WIDE.replace(**changes)
    kernels = Blockwise(bits, accuracy_level=0)
    weights = random_weights(config)
    rounded = dequantized(kernels.quantized(config, without_means(config, weights)))
    write_fused(config, weights, tmp_path / "dequantised.onnx", Float32(rounded=rounded))
    write_fused(config, random_weights(config), tmp_path / "fused.onnx", kernels)
    expected = Graph(tmp_path / "dequantised.onnx").read(IDS)
    found = Graph(tmp_path / "fused.onnx").read(IDS)
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.std())
    assert np.abs(expected - both(config, tmp_path)[0].read(IDS)).max() > 1e-2  # the rounding is seen


@pytest.mark.parametrize(("bits", "head_bits"), [(4, 4), (4, 8), (8, 8)])
def test_activations_in_eight_bits_cost_little(bits: int, head_bits: int, tmp_path: Path) -> None:
    for level in (0, 4):
        write_fused(
            WIDE,
            random_weights(WIDE),
            tmp_path / f"{level}.onnx",
            Blockwise(bits, head_bits, accuracy_level=level),
        )
    exact, rounded = (Graph(tmp_path / f"{level}.onnx").read(IDS) for level in (0, 4))
    error = np.sqrt(np.square(rounded - exact).mean())
    assert 0 < error < 0.04 * exact.std()


# --- the file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kernels", [Float32(), Blockwise(8), Blockwise(4), SplitHead()], ids=str)
def test_the_graph_is_small(activation: str, kernels: object, tmp_path: Path) -> None:
    config = SMALL.replace(activation=activation, num_layers=4)
    write_fused(config, random_weights(config), tmp_path / "model.onnx", kernels)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert len(graph.node) <= 12 * config.num_layers + 20
    layer = [node for node in graph.node if node.name.startswith("h.1/")]
    assert len(layer) <= (10 if isinstance(kernels, Float32) else 8)
    assert not {node.op_type for node in graph.node} & {"Loop", "Scan", "If"}


@pytest.mark.parametrize("bits", [4, 8])
def test_each_weight_is_stored_once(bits: int, tmp_path: Path) -> None:
    config = WIDE.replace(vocabulary_size=5000)
    write_fused(config, random_weights(config), tmp_path / "model.onnx", Blockwise(bits))
    matrices = config.num_parameters - config.max_sequence_length * config.hidden_dim
    bits_each = bits + 32 / 64
    assert (tmp_path / "model.onnx").stat().st_size < matrices * bits_each / 8 + 40_000


def test_heads_that_the_operator_does_not_know_are_refused(tmp_path: Path) -> None:
    config = SMALL.replace(num_heads=4)
    with pytest.raises(UsageError, match="a head is 4 wide, and ONNX Runtime fuses attention for multiples"):
        write_fused(config, random_weights(config), tmp_path / "model.onnx", Float32())
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    weights = random_weights(SMALL)
    del weights["transformer.h.2.mlp.c_proj.bias"]
    with pytest.raises(KerasGPTError, match=r"the weights lack transformer.h.2.mlp.c_proj.bias"):
        write_fused(SMALL, weights, tmp_path / "model.onnx", Float32())
    assert list(tmp_path.iterdir()) == []
