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
    cache = Cache(session, (3, 4, 4, 6, 8))
    assert len(cache.arrays) == 6
    assert cache.capacity == 6
    for number, array in enumerate(cache.arrays):
        array += number + np.arange(4)[:, None, None, None]
    part = cache.rows(session, 1, 3)
    part.arrays[5][0, 0, 0, 0] = 99
    assert cache.arrays[5][1, 0, 0, 0] == 99
    copy = cache.copied(session, np.array([2, 2, 0]), 5, 9)
    assert copy.capacity == 9
    np.testing.assert_array_equal(copy.arrays[1][:, 0, :, 0], [[3] * 5 + [0] * 4] * 2 + [[1] * 5 + [0] * 4])
    copy.arrays[0][:] = -1
    assert cache.arrays[0].min() == 0
