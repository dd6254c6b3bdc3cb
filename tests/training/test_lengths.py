"""Shorter windows first: the same tokens, and as many."""

import numpy as np
import pytest

from kerasgpt.data.pipeline import TokenDataset
from kerasgpt.data.segments import segments_and_positions
from kerasgpt.errors import UsageError
from kerasgpt.training.lengths import ShorterWindows, Stage, stage_of, stages
from kerasgpt.training.settings import TrainConfig


def _settings(initial, warmup, steps=100, full=32):
    return TrainConfig(
        steps=steps,
        sequence_length=full,
        initial_sequence_length=initial,
        sequence_length_warmup_steps=warmup,
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((8, 10), [(0, 5, 8), (5, 10, 16), (10, 100, 32)]),
        ((16, 10), [(0, 10, 16), (10, 100, 32)]),
        ((8, 1), [(0, 1, 16), (1, 100, 32)]),
        ((8, 500), [(0, 50, 8), (50, 100, 16)]),
        ((32, 10), [(0, 100, 32)]),
        ((32, 500), [(0, 100, 32)]),
        ((0, 10), [(0, 100, 32)]),
        ((8, 0), [(0, 100, 32)]),
    ],
)
def test_a_run_is_divided_into_stages_without_gaps(settings, expected):
    assert stages(_settings(*settings)) == [Stage(*row) for row in expected]


def test_each_step_has_its_stage():
    settings = _settings(8, 10)
    assert [stage_of(settings, step).length for step in (0, 4, 5, 9, 10, 99)] == [8, 8, 16, 16, 32, 32]


@pytest.mark.parametrize("initial", [24, 5, 64])
def test_a_length_that_does_not_double_into_the_full_one_is_refused(initial):
    with pytest.raises(UsageError, match=f"initial_sequence_length is {initial} .*by doubling, as 8 would"):
        stages(_settings(initial, 10))


def test_windows_are_cut_and_none_of_their_labels_is_lost():
    whole = TokenDataset(np.arange(200), 16, 3, seed=1)
    cut = ShorterWindows(whole, 4)
    assert len(cut) == len(whole)
    for index in range(len(whole)):
        ids, labels, weights = cut[index]
        assert ids.shape == labels.shape == weights.shape == (12, 4)
        for short, long in zip((ids, labels, weights), whole[index], strict=True):
            np.testing.assert_array_equal(short.ravel(), long.ravel())


def test_positions_count_from_the_document_or_the_shorter_window():
    ids = np.random.default_rng(0).integers(0, 9, 2000, dtype=np.int32)
    whole = TokenDataset(ids, 16, 3, end_of_text_id=0)
    cut = ShorterWindows(whole, 4)
    for number in range(4):
        inputs = cut[number][0]
        expected = segments_and_positions(inputs["token_ids"], 0)
        np.testing.assert_array_equal(inputs["position_ids"], expected["position_ids"])
        same = inputs["segment_ids"][:, :, None] == inputs["segment_ids"][:, None]
        wanted = expected["segment_ids"][:, :, None] == expected["segment_ids"][:, None]
        np.testing.assert_array_equal(same, wanted)
