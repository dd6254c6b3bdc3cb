"""The fused engine equals the portable one in float32, and itself in every batch in every precision."""

from pathlib import Path

import numpy as np
import pytest

from kerasgpt import artifacts
from kerasgpt.errors import UsageError
from kerasgpt.generation.decode import decode
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.runtime import fused
from kerasgpt.runtime.fused import FusedStepModel
from kerasgpt.runtime.language_model import open_step_model
from kerasgpt.runtime.session import OnnxStepModel, open_session

IDS = np.random.default_rng(3).integers(0, 257, (3, 20))
LENGTHS = np.array([20, 4, 11])


@pytest.fixture
def portable(bundle: Path) -> OnnxStepModel:
    return OnnxStepModel(bundle / artifacts.ONNX_MODEL, max_sequence_length=48, num_threads=1)


@pytest.fixture
def model(bundle: Path) -> FusedStepModel:
    path = bundle / artifacts.FAST_FP32
    return FusedStepModel(open_session(path, 1), path, max_sequence_length=48)


@pytest.fixture(params=[artifacts.FAST_FP32, artifacts.FAST_INT8, artifacts.FAST_INT4])
def any_model(request: pytest.FixtureRequest, bundle: Path) -> FusedStepModel:
    path = bundle / request.param
    return FusedStepModel(open_session(path, 1), path, max_sequence_length=48)


def test_the_file_tells_which_engine_it_needs(bundle: Path) -> None:
    opened = [
        open_step_model(bundle / name, max_sequence_length=48)
        for name in (artifacts.ONNX_MODEL, artifacts.FAST_FP32)
    ]
    assert [type(model) for model in opened] == [OnnxStepModel, FusedStepModel]
    assert {(model.vocabulary_size, model.max_sequence_length) for model in opened} == {(257, 48)}


@pytest.mark.parametrize("at_once", [1, 25, 2048])
def test_it_answers_as_the_portable_engine(
    model: FusedStepModel, portable: OnnxStepModel, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "PREFILL_TOKENS", at_once)
    read = np.arange(20) < LENGTHS[:, None]
    expected = portable.all_logits(IDS, LENGTHS)[read]
    np.testing.assert_allclose(model.all_logits(IDS, LENGTHS)[read], expected, atol=1e-4)
    state, logits = model.prefill(IDS, LENGTHS)
    other, expected = portable.prefill(IDS, LENGTHS)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    for new in np.random.default_rng(4).integers(0, 257, (6, 3)):
        (state, logits), (other, expected) = model.step(state, new), portable.step(other, new)
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_row_in_a_batch_answers_as_alone(any_model: FusedStepModel) -> None:
    """To the bit where the operators are the same: a prompt of one row is read by another kernel."""
    news = np.random.default_rng(4).integers(0, 257, (6, 3))
    together, _ = any_model.prefill(IDS, LENGTHS)
    alone = [any_model.prefill(IDS[r : r + 1, :n], np.array([n]))[0] for r, n in enumerate(LENGTHS)]
    for new in news:
        together, logits = any_model.step(together, new)
        for row in range(3):
            alone[row], expected = any_model.step(alone[row], new[row : row + 1])
            np.testing.assert_allclose(logits[row], expected[0], atol=2e-5)


def test_steps_write_in_place_until_the_cache_is_full(
    model: FusedStepModel, portable: OnnxStepModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "SPARE_COLUMNS", 3)
    state, _ = model.prefill(IDS, LENGTHS)
    other, _ = portable.prefill(IDS, LENGTHS)
    addresses, capacities = [], []
    for new in np.random.default_rng(4).integers(0, 257, (28, 3)):
        (state, logits), (other, expected) = model.step(state, new), portable.step(other, new)
        addresses.append(state.cache.arrays[0].ctypes.data)
        capacities.append(state.cache.capacity)
        np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert capacities == [23] * 3 + [46] * 23 + [48] * 2
    for part in (addresses[:3], addresses[3:26], addresses[26:]):
        assert len(set(part)) == 1


def test_reorder_keeps_repeats_and_drops_rows(model: FusedStepModel) -> None:
    state, _ = model.prefill(IDS, LENGTHS)
    _, logits = model.step(state, np.array([1, 2, 3]))
    chosen = np.array([2, 0, 2, 2])
    _, again = model.step(model.reorder(state, chosen), np.array([3, 1, 3, 3]))
    np.testing.assert_allclose(again, logits[chosen], atol=1e-5)


def alone(model: FusedStepModel, row: int, news: list[int]) -> np.ndarray:
    """The logits after a prompt and further tokens, each read by a step."""
    length = LENGTHS[row]
    state, logits = model.prefill(IDS[row : row + 1, :length], LENGTHS[row : row + 1])
    for new in news:
        state, logits = model.step(state, np.array([new]))
    return logits[0]


@pytest.mark.parametrize("spare", [1, 64])
def test_rows_come_and_go_in_one_buffer(
    any_model: FusedStepModel, spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "SPARE_COLUMNS", spare)
    single = [
        any_model.prefill(IDS[row : row + 1, :length], np.array([length]))[0]
        for row, length in enumerate(LENGTHS)
    ]
    state, _ = any_model.step(single[1], np.array([7]))
    state = any_model.join([state, single[2]])
    state, _ = any_model.step(state, np.array([8, 9]))
    state = any_model.join([state, single[0]])  # the longest comes last
    state, logits = any_model.step(state, np.array([1, 2, 3]))
    for place, (row, news) in enumerate([(1, [7, 8, 1]), (2, [9, 2]), (0, [3])]):
        np.testing.assert_allclose(logits[place], alone(any_model, row, news), atol=1e-4)
    state = any_model.reorder(state, np.array([2, 1]))  # row 0 is dropped, the last takes its place
    state, logits = any_model.step(state, np.array([4, 5]))
    np.testing.assert_allclose(logits[0], alone(any_model, 0, [3, 4]), atol=1e-4)
    np.testing.assert_allclose(logits[1], alone(any_model, 2, [9, 2, 5]), atol=1e-4)
    again, _ = any_model.prefill(IDS[:, :9], np.array([2, 9, 4]))
    state, logits = any_model.step(any_model.join([state, again]), np.array([6, 6, 7, 7, 7]))
    np.testing.assert_allclose(logits[0], alone(any_model, 0, [3, 4, 6]), atol=1e-4)
    expected = any_model.step(any_model.prefill(IDS[:, :9], np.array([2, 9, 4]))[0], np.array([7, 7, 7]))[1]
    np.testing.assert_allclose(logits[2:], expected, atol=1e-4)


def test_a_row_that_leaves_costs_no_copy_and_one_that_comes_only_its_own(model: FusedStepModel) -> None:
    state, _ = model.prefill(IDS, LENGTHS)
    state, _ = model.step(state, np.array([1, 2, 3]))
    address = state.cache.arrays[0].ctypes.data
    state = model.reorder(state, np.array([0, 2]))
    assert (state.cache.arrays[0].ctypes.data, len(state.cache.arrays[0])) == (address, 2)
    other, _ = model.prefill(IDS[1:2, :4], np.array([4]))
    state = model.join([state, other])
    assert (state.cache.arrays[0].ctypes.data, state.cache.num_places) == (address, 3)
    state = model.join([state, model.prefill(IDS[1:2, :4], np.array([4]))[0]])
    assert state.cache.num_places == 6  # doubled
    assert state.lengths.tolist() == [21, 12, 4, 4]


def test_a_snapshot_may_be_read_on_from_again_and_again(model: FusedStepModel) -> None:
    state, _ = model.prefill(IDS, LENGTHS)
    snapshot = model.snapshot(state, 2, 8)
    state, _ = model.step(state, np.array([1, 2, 3]))
    state = model.reorder(state, np.array([0, 1]))
    model.join([state, model.prefill(IDS[:1], LENGTHS[:1])[0]])  # writes where the row was
    rest = np.array([[5, 6, 7]])
    expected = model.all_logits(np.concatenate([IDS[2:3, :8], rest], axis=1), np.array([11]))[:, 8:]
    for _ in range(2):
        _, logits = model.extend(snapshot, rest)
        np.testing.assert_allclose(logits, expected, atol=2e-5)
        _, last = model.extend(snapshot, rest, 1)
        np.testing.assert_allclose(last, expected[:, 2:], atol=2e-5)
        _, shorter = model.extend(model.rewind(snapshot, 3), IDS[2:3, 5:8])
        whole = model.all_logits(IDS[2:3, :8], np.array([8]))
        np.testing.assert_allclose(shorter, whole[:, 5:], atol=2e-5)
    state, _ = model.extend(snapshot, rest)
    joint = model.join([state, model.extend(snapshot, rest[:, :2])[0]])
    _, logits = model.step(joint, np.array([4, 7]))
    np.testing.assert_allclose(logits[1], expected[0, 2], atol=2e-5)


@pytest.mark.parametrize("order", [[1, 0, 2], [2, 0], [0, 2], [2, 1], [1, 2], [2, 2, 2, 0]], ids=str)
def test_rows_of_the_newest_state_go_anywhere(model: FusedStepModel, order: list[int]) -> None:
    state, _ = model.step(model.prefill(IDS, LENGTHS)[0], np.array([1, 2, 3]))
    _, logits = model.step(model.reorder(state, np.array(order)), np.array([5] * len(order)))
    for place, row in enumerate(order):
        np.testing.assert_allclose(logits[place], alone(model, row, [row + 1, 5]), atol=2e-5)


def test_a_long_row_joins_where_short_ones_left(
    model: FusedStepModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "SPARE_COLUMNS", 1)
    state, _ = model.prefill(IDS[:2, :4], np.array([3, 4]))
    state = model.reorder(state, np.array([1]))
    state = model.join([state, model.prefill(IDS[2:], np.array([11]))[0]])
    _, logits = model.step(state, np.array([8, 9]))
    np.testing.assert_allclose(logits[0], alone(model, 1, [8]), atol=2e-5)
    np.testing.assert_allclose(logits[1], alone(model, 2, [9]), atol=2e-5)


def test_a_state_may_be_stepped_from_again(model: FusedStepModel) -> None:
    state, _ = model.prefill(IDS, LENGTHS)
    after, first = model.step(state, np.array([1, 2, 3]))
    model.step(state, np.array([4, 5, 6]))
    _, again = model.step(state, np.array([1, 2, 3]))
    np.testing.assert_array_equal(first, again)
    _, onward = model.step(after, np.array([7, 8, 9]))
    state, _ = model.step(model.prefill(IDS, LENGTHS)[0], np.array([1, 2, 3]))
    np.testing.assert_array_equal(onward, model.step(state, np.array([7, 8, 9]))[1])


def test_texts_end_at_the_context(model: FusedStepModel) -> None:
    prompts = [IDS[0].tolist(), IDS[1, :4].tolist()]
    *_, last = decode(model, prompts, GenerationConfig(max_new_tokens=100), end_of_text_id=-1)
    assert [(token.row, token.finish_reason) for token in last] == [(1, "length")]
    state, _ = model.prefill(IDS[:1], LENGTHS[:1])
    for _ in range(28):
        state, _ = model.step(state, np.array([1]))
    with pytest.raises(UsageError, match="the text fills the context of 48 tokens"):
        model.step(state, np.array([1]))


def test_greedy_text_is_the_portable_engines(model: FusedStepModel, portable: OnnxStepModel) -> None:
    prompts = [ids[:n].tolist() for ids, n in zip(IDS, LENGTHS, strict=True)]
    settings = GenerationConfig(max_new_tokens=20)
    written = [
        [[token.id for token in step] for step in decode(engine, prompts, settings, end_of_text_id=-1)]
        for engine in (model, portable)
    ]
    assert written[0] == written[1]


def test_several_tokens_at_once_are_as_good_as_one_by_one(model: FusedStepModel) -> None:
    state, _ = model.prefill(IDS[:1, :5], np.array([5]))
    _, together = model.extend(state, IDS[:1, 5:12])
    for position in range(5, 12):
        state, alone = model.step(state, IDS[:1, position])
        np.testing.assert_allclose(together[:, position - 5], alone, atol=2e-5)


def test_steps_of_every_even_length_give_the_same(any_model: FusedStepModel) -> None:
    """So that in 8 and 4 bits a text does not depend on how long its drafts happen to be."""
    before, _ = any_model.prefill(IDS[:1, :4], np.array([4]))
    expected = any_model.extend(before, IDS[:1, 4:20])[1]
    for size in (2, 4, 8):
        state, _ = any_model.prefill(IDS[:1, :4], np.array([4]))
        for start in range(4, 20, size):
            state, logits = any_model.extend(state, IDS[:1, start : start + size])
            np.testing.assert_allclose(logits, expected[:, start - 4 : start - 4 + size], atol=2e-6)


def test_what_is_forgotten_leaves_no_trace(any_model: FusedStepModel) -> None:
    state, _ = any_model.prefill(IDS[:1, :5], np.array([5]))
    state, _ = any_model.extend(state, IDS[:1, 5:13])
    state, logits = any_model.step(any_model.rewind(state, 6), IDS[:1, 7])
    other, _ = any_model.prefill(IDS[:1, :5], np.array([5]))
    other, _ = any_model.extend(other, IDS[:1, 5:7])
    _, expected = any_model.step(other, IDS[:1, 7])
    np.testing.assert_array_equal(logits, expected)
    assert state.lengths.tolist() == [8]


def test_a_rewound_fork_does_not_write_into_its_sibling(model: FusedStepModel) -> None:
    first, _ = model.prefill(IDS[:1, :5], np.array([5]))
    second, _ = model.step(first, IDS[:1, 5])
    _, expected = model.step(second, IDS[:1, 6])
    model.step(model.rewind(first, 2), IDS[:1, 9])
    np.testing.assert_array_equal(model.step(second, IDS[:1, 6])[1], expected)


def test_it_extends_one_row_and_no_further_than_the_context(model: FusedStepModel) -> None:
    state, _ = model.prefill(IDS, LENGTHS)
    with pytest.raises(UsageError, match="3 rows cannot be extended"):
        model.extend(state, IDS[:, :2])
    alone, _ = model.prefill(IDS[:1], LENGTHS[:1])
    with pytest.raises(UsageError, match="context of 48"):
        model.extend(alone, np.zeros((1, 29), np.int64))
