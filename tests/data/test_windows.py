"""Windows over ids: every id once an epoch, in an order that depends on the number alone."""

import numpy as np
import pytest

from kerasgpt.data import windows as module
from kerasgpt.data.shuffle import Permutation
from kerasgpt.data.windows import Windows, layout


@pytest.fixture(params=["held", "computed"])
def order(request, monkeypatch):
    if request.param == "computed":
        monkeypatch.setattr(module, "HELD_SLOTS", 0)
    return request.param


def make(num_ids, length, seed, batch_size=4, source=0):
    laid = layout(num_ids, length, batch_size, is_moved=seed is not None)
    return Windows(np.arange(num_ids), length, seed, laid, source)


def rows_of(windows, epoch):
    return list(windows.read(range(epoch * windows.num_slots, (epoch + 1) * windows.num_slots)))


@pytest.mark.parametrize("num_ids", [2, 9, 95, 96, 97, 100, 101, 112, 113, 114])
@pytest.mark.parametrize("length", [1, 7, 16])
@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_every_id_but_the_first_follows_another_once_an_epoch(order, num_ids, length, seed, batch_size):
    windows = make(num_ids, length, seed, batch_size)
    assert windows.num_slots % batch_size == 0
    for epoch in range(5):
        rows = rows_of(windows, epoch)
        assert all(len(row) <= length + 1 for row in rows)
        followers = np.concatenate([row[1:] for row in rows])
        assert sorted(followers.tolist()) == list(range(1, num_ids))
        for first in range(0, len(rows), batch_size):  # an update of nothing would be one of weight decay
            assert any(len(row) > 1 for row in rows[first : first + batch_size])


@pytest.mark.parametrize("num_ids", [64, 65, 66, 127, 128, 129])
def test_boundaries_move_also_where_windows_fill_the_batches(order, num_ids):
    windows = make(num_ids, 16, 5, batch_size=1)
    starts = {int(row[0]) % 16 for epoch in range(200) for row in rows_of(windows, epoch) if row[0]}
    assert len(starts) >= 8


@pytest.mark.parametrize("num_ids", [17, 18, 32, 33, 100])
def test_in_a_ring_all_windows_are_full_and_no_id_comes_more_often(order, num_ids):
    windows = Windows(np.arange(num_ids), 16, 5, None)
    assert windows.num_slots == -(-num_ids // 16)
    rows = [row for epoch in range(2000) for row in rows_of(windows, epoch)]
    assert all((np.diff(row) % num_ids == 1).all() and len(row) == 17 for row in rows)
    counts = np.bincount(np.concatenate([row[1:] for row in rows]), minlength=num_ids)
    assert counts.min() > 0.85 * counts.mean()
    assert counts.max() < 1.15 * counts.mean()


def test_a_ring_may_be_shorter_than_a_window():
    (row,) = Windows(np.arange(3), 7, None, None).read([0])
    assert row.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_epochs_and_sources_have_orders_of_their_own(order):
    def starts(source, epoch):
        windows = make(1000, 16, 0, source=source)
        first = epoch * windows.num_slots
        return tuple(int(row[0]) for row in windows.read(range(first, first + 20)))

    assert len({starts(source, epoch) for source in range(2) for epoch in range(3)}) == 6


def test_a_window_does_not_depend_on_what_was_asked_for_before(order):
    windows = make(500, 8, 3)
    forward = [row.tolist() for row in windows.read(range(200))]
    alone = [next(windows.read([number])).tolist() for number in reversed(range(200))]
    assert alone == forward[::-1]


def test_a_small_order_is_numpys_as_it_has_always_been():
    """Runs begun earlier go on with the same windows: written out from the definition."""
    windows = make(1000, 16, 7)
    for epoch in (0, 4):
        generator = np.random.default_rng([7, epoch])
        offset = int(generator.integers(16))
        slots = generator.permutation(windows.num_slots)
        for place in (0, 5, windows.num_slots - 1):
            start = int(slots[place]) * 16 - offset
            expected = np.arange(max(0, start), min(start + 16, 999) + 1)
            (found,) = windows.read([epoch * windows.num_slots + place])
            np.testing.assert_array_equal(found, expected)


def test_a_large_order_is_computed_and_never_held():
    ids = np.broadcast_to(np.uint16(1), 1 << 40)  # a terabyte, were it there
    windows = Windows(ids, 1024, 0, layout(len(ids), 1024, 1, is_moved=True))
    assert isinstance(windows.plan(0).order, Permutation)
    assert [row.tolist() for row in windows.read([0, 123_456_789])] == [[1] * 1025] * 2
