from pathlib import Path

import numpy as np
import pytest

from kerasgpt import artifacts
from kerasgpt.runtime.cache import Cache
from kerasgpt.runtime.session import open_session


@pytest.fixture
def session(bundle: Path) -> object:
    return open_session(bundle / artifacts.FAST_FP32, 1)


def test_rows_share_the_memory_and_a_copy_does_not(session: object) -> None:
    cache = Cache.empty(session, (3, 4, 4, 6, 8))
    assert len(cache.arrays) == 6
    assert (cache.capacity, cache.num_places) == (6, 4)
    for number, array in enumerate(cache.arrays):
        array += number + np.arange(4)[:, None, None, None]
    part = cache.rows(session, 1, 3)
    part.arrays[5][0, 0, 0, 0] = 99
    assert cache.arrays[5][1, 0, 0, 0] == 99
    copy = cache.like(session, 3, 9)
    copy.write(slice(None), cache, np.array([2, 2, 0]), 5)
    assert copy.capacity == 9
    np.testing.assert_array_equal(copy.arrays[1][:, 0, :, 0], [[3] * 5 + [0] * 4] * 2 + [[1] * 5 + [0] * 4])
    copy.arrays[0][:] = -1
    assert cache.arrays[0].min() == 0


def test_there_is_room_for_more_rows_than_are_in_use(session: object) -> None:
    cache = Cache.empty(session, (3, 2, 4, 6, 8), num_places=5)
    assert (cache.num_places, len(cache.arrays[0]), len(cache.newest)) == (5, 2, 2)
    more = cache.rows(session, 0, 4)
    more.write(slice(3, 4), more, slice(0, 1), 6)
    assert (more.num_places, len(more.arrays[0])) == (5, 4)
    assert more.arrays[0].ctypes.data == cache.arrays[0].ctypes.data


def test_what_the_session_reads_may_change_in_place_and_in_shape(session: object) -> None:
    cache = Cache.empty(session, (3, 2, 4, 6, 8))
    given = np.array([[3], [4]])
    for values in (given, given + 1, np.array([[5, 6], [7, 8]]), given):
        cache.feed("input_ids", values)
        cache.feed("position_ids", np.broadcast_to(np.arange(values.shape[1]), values.shape))
        cache.feed("attention_mask", np.ones(values.shape, np.int64))
        logits = np.empty((2, 1, 257), np.float32)
        cache.binding.bind_output("logits", "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        session.run_with_iobinding(cache.binding)
        fresh = Cache.empty(session, (3, 2, 4, 6, 8))
        feeds = {"input_ids": values, "attention_mask": np.ones_like(values)}
        feeds["position_ids"] = np.broadcast_to(np.arange(values.shape[1]), values.shape).copy()
        names = [value.name for value in session.get_inputs() if value.name.startswith("past")]
        pasts = dict(zip(names, fresh.arrays, strict=True))
        np.testing.assert_array_equal(session.run(["logits"], {**feeds, **pasts})[0], logits)
    assert (given == [[3], [4]]).all()
