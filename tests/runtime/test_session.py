import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import load_file

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config, read_json
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.generation.decode import decode
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.runtime import session
from kerasgpt.runtime.session import OnnxStepModel

IDS = np.random.default_rng(3).integers(0, 257, (3, 20))
LENGTHS = np.array([20, 4, 11])


@pytest.fixture
def model(bundle: Path) -> OnnxStepModel:
    return OnnxStepModel(bundle / artifacts.ONNX_MODEL, max_sequence_length=48, num_threads=1)


@pytest.fixture
def golden_model(golden_folder: Path, tmp_path: Path) -> OnnxStepModel:
    config = GPT2Config.from_huggingface(read_json(golden_folder / "config.json"))
    write_onnx(config, load_file(golden_folder / "model.safetensors"), tmp_path / "model.onnx")
    return OnnxStepModel(tmp_path / "model.onnx", max_sequence_length=config.max_sequence_length)


def test_all_logits_equal_hugging_face(golden_model: OnnxStepModel, golden: dict) -> None:
    ids = golden["input_ids"]
    logits = golden_model.all_logits(ids, np.full(len(ids), ids.shape[1]))
    assert logits.dtype == np.float32
    assert np.abs(logits - golden["logits_float64"]).max() <= 1e-5


def test_the_loop_writes_hugging_faces_greedy_ids(golden_model: OnnxStepModel, golden: dict) -> None:
    width = golden["input_ids"].shape[1]
    prompts = [
        ids[mask.astype(bool)].tolist()
        for ids, mask in zip(golden["input_ids"], golden["left_mask"], strict=True)
    ]
    settings = GenerationConfig(max_new_tokens=golden["greedy"].shape[1] - width)
    steps = list(decode(golden_model, prompts, settings, end_of_text_id=-1))
    written = [[token.id for token in step] for step in steps]
    np.testing.assert_array_equal(np.array(written).T, golden["greedy"][:, width:])


def test_its_sizes_come_from_the_file(model: OnnxStepModel) -> None:
    assert (model.vocabulary_size, model.max_sequence_length) == (257, 48)


@pytest.mark.parametrize("piece", [1, 3, 7, 20])
def test_prefill_in_pieces_equals_all_logits(
    model: OnnxStepModel, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PREFILL_BUDGET", piece * 3 * 257)
    _, logits = model.prefill(IDS, LENGTHS)
    expected = model.all_logits(IDS, LENGTHS)[np.arange(3), LENGTHS - 1]
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_steps_after_ragged_prompts_equal_reading_it_all_again(model: OnnxStepModel) -> None:
    state, _ = model.prefill(IDS, LENGTHS)
    texts = [IDS[row, :length].tolist() for row, length in enumerate(LENGTHS)]
    for new in np.random.default_rng(4).integers(0, 257, (4, 3)):
        state, logits = model.step(state, new)
        for row, text in enumerate(texts):
            text.append(int(new[row]))
            alone = model.all_logits(np.array([text]), np.array([len(text)]))[0, -1]
            np.testing.assert_allclose(logits[row], alone, atol=1e-5)


def test_reorder_keeps_repeats_and_drops_rows(model: OnnxStepModel) -> None:
    state, _ = model.prefill(IDS, LENGTHS)
    _, logits = model.step(state, np.array([1, 2, 3]))
    chosen = np.array([2, 0, 2])
    _, again = model.step(model.reorder(state, chosen), np.array([3, 1, 3]))
    np.testing.assert_allclose(again, logits[chosen], atol=1e-5)


def test_rows_of_different_states_are_joined(model: OnnxStepModel) -> None:
    first, _ = model.prefill(IDS, LENGTHS)
    first, _ = model.step(first, np.array([1, 2, 3]))
    second, _ = model.prefill(IDS[1:2, :9], np.array([9]))
    state, logits = model.step(model.join([first, second]), np.array([4, 5, 6, 7]))
    texts = [[*IDS[row, :length], 1 + row, 4 + row] for row, length in enumerate(LENGTHS)]
    texts.append([*IDS[1, :9], 7])
    state = model.join([model.reorder(state, np.array([0, 3])), model.prefill(IDS[:1, :2], np.array([2]))[0]])
    _, later = model.step(state, np.array([8, 8, 8]))
    after = [[*texts[0], 8], [*texts[3], 8], [*IDS[0, :2], 8]]
    for found, text in zip([*logits, *later], [*texts, *after], strict=True):
        alone = model.all_logits(np.array([text]), np.array([len(text)]))[0, -1]
        np.testing.assert_allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize("piece", [2, 100])
def test_several_tokens_at_once_are_as_good_as_one_by_one(
    model: OnnxStepModel, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "PREFILL_BUDGET", piece * 257)
    before, _ = model.prefill(IDS[:1, :5], np.array([5]))
    expected = model.all_logits(IDS[:1], np.array([20]))
    state, logits = model.extend(before, IDS[:1, 5:12])
    np.testing.assert_allclose(logits, expected[:, 5:12], atol=1e-5)
    np.testing.assert_allclose(model.extend(before, IDS[:1, 5:12], 3)[1], expected[:, 9:12], atol=1e-5)
    shorter = model.rewind(state, 4)
    assert shorter.mask.shape == (1, 8)
    np.testing.assert_allclose(model.step(shorter, IDS[:1, 8])[1], expected[:, 8], atol=1e-5)


def test_rows_of_any_length_forget_and_are_copied(model: OnnxStepModel) -> None:
    state, _ = model.prefill(IDS, LENGTHS)
    _, logits = model.step(model.rewind(state, 3), np.array([IDS[row, LENGTHS[row] - 3] for row in range(3)]))
    expected = model.all_logits(IDS, LENGTHS)
    state, _ = model.step(state, np.array([1, 2, 3]))
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(logits[row], expected[row, length - 3], atol=1e-5)
        copy = model.snapshot(state, row, length - 1)
        _, again = model.extend(copy, IDS[row : row + 1, length - 1 : length])
        np.testing.assert_allclose(again[:, 0], expected[row : row + 1, length - 1], atol=1e-5)


def test_a_state_is_not_changed_by_its_successors(model: OnnxStepModel) -> None:
    state, _ = model.prefill(IDS, LENGTHS)
    _, first = model.step(state, np.array([1, 2, 3]))
    model.step(state, np.array([4, 5, 6]))
    _, again = model.step(state, np.array([1, 2, 3]))
    np.testing.assert_array_equal(first, again)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KerasGPTError, match=r"model.onnx: no such file; export the model again"):
        OnnxStepModel(tmp_path / "model.onnx", max_sequence_length=8)


@pytest.mark.parametrize("content", [b"", b"not a graph", None], ids=["empty", "text", "cut"])
def test_a_damaged_file_is_named_in_one_line(
    bundle: Path, content: bytes | None, capfd: pytest.CaptureFixture
) -> None:
    path = bundle / artifacts.ONNX_MODEL
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(KerasGPTError, match=r"model.onnx: ") as caught:
        OnnxStepModel(path, max_sequence_length=8)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_folder_that_onnx_runtime_cannot_open_is_named_with_the_remedy(
    bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "model.onnx").symlink_to(bundle / artifacts.ONNX_MODEL)
    with pytest.raises(UsageError, match="opens no file whose path is not UTF-8; rename its folder"):
        OnnxStepModel(folder / "model.onnx", max_sequence_length=48)


@pytest.mark.parametrize("num_threads", [2.0, "2", 2000, -1], ids=str)
def test_a_number_of_threads_that_cannot_be_is_refused(bundle: Path, num_threads) -> None:
    with pytest.raises(UsageError, match="num_threads is .*: it must be 0 or more, an integer of at most"):
        session.open_session(bundle / artifacts.ONNX_MODEL, num_threads)


def test_sums_of_integer_products_are_exact_on_every_cpu(tmp_path: Path) -> None:
    """Without VNNI ONNX Runtime's own choice of kernel lets them overflow."""
    generator = np.random.default_rng(0)
    read, weights = generator.integers(0, 256, (4, 64)), generator.integers(-127, 128, (64, 32))
    values = [
        helper.make_tensor_value_info("a", TensorProto.UINT8, ["m", 64]),
        helper.make_tensor_value_info("y", TensorProto.INT32, ["m", 32]),
    ]
    tensors = [
        onnx.numpy_helper.from_array(weights.astype(np.int8), "w"),
        onnx.numpy_helper.from_array(np.array(128, np.uint8), "zero"),
    ]
    node = helper.make_node("MatMulInteger", ["a", "w", "zero"], ["y"])
    graph = helper.make_graph([node], "product", values[:1], values[1:], tensors)
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "m.onnx")
    opened = session.open_session(tmp_path / "m.onnx")
    (found,) = opened.run(None, {"a": read.astype(np.uint8)})
    np.testing.assert_array_equal(found, (read - 128) @ weights)


def test_some_other_graph_is_refused(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 1, 3])
    source = helper.make_tensor_value_info("input_ids", TensorProto.FLOAT, ["b", 1, 3])
    node = helper.make_node("Identity", ["input_ids"], ["logits"])
    graph = helper.make_graph([node], "other", [source], [value])
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "m.onnx")
    with pytest.raises(
        KerasGPTError, match=r"not a language model as exported here: it has no input past_key_values\.\*"
    ):
        OnnxStepModel(tmp_path / "m.onnx", max_sequence_length=8)


def test_an_error_without_a_message_is_told_by_its_name(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(session.onnxruntime, "InferenceSession", fails)
    with pytest.raises(KerasGPTError, match=r"model.onnx: cannot be loaded \(RuntimeError\)"):
        session.open_session(bundle / artifacts.ONNX_MODEL)
