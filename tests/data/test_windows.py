"""Windows over ids: every id once an epoch, in an order that depends on the number alone."""

import numpy as np
import pytest

from kerasgpt.data import windows as module
from kerasgpt.data.shuffle import Permutation
from kerasgpt.data.windows import Windows


@pytest.fixture(params=["held", "computed"])
def order(request, monkeypatch):
    if request.param == "computed":
        monkeypatch.setattr(module, "HELD_SLOTS", 0)
    return request.param


def make(num_ids, length, seed, more=0, source=0):
    count = Windows.fewest_slots(num_ids, length, seed) + more
    return Windows(np.arange(num_ids), length, seed, count, source)


@pytest.mark.parametrize("num_ids", [2, 9, 100, 101])
@pytest.mark.parametrize("length", [1, 7, 16])
@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("more", [0, 3])
def test_every_id_but_the_first_follows_another_once_an_epoch(order, num_ids, length, seed, more):
    windows = make(num_ids, length, seed, more)
    for epoch in range(3):
        numbers = range(epoch * windows.num_slots, (epoch + 1) * windows.num_slots)
        rows = list(windows.read(numbers))
        assert all(len(row) <= length + 1 for row in rows)
        followers = np.concatenate([row[1:] for row in rows])
        assert sorted(followers.tolist()) == list(range(1, num_ids))


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
    windows = Windows(ids, 1024, 0, Windows.fewest_slots(len(ids), 1024, 0))
    assert isinstance(windows.plan(0).order, Permutation)
    assert [row.tolist() for row in windows.read([0, 123_456_789])] == [[1] * 1025] * 2
