"""Memory that is used again, by one thread."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kerasgpt.generation.scratch import scratch


def test_the_same_memory_comes_again() -> None:
    first = scratch("test", 10)
    first[:] = 7
    assert scratch("test", 10).tolist() == [7] * 10
    assert np.shares_memory(first, scratch("test", 4))
    assert not np.shares_memory(first, scratch("another", 10))
    assert len(scratch("test", 50)) == 50


def test_each_thread_has_its_own() -> None:
    mine = scratch("test", 10)
    with ThreadPoolExecutor(1) as pool:
        assert not np.shares_memory(mine, pool.submit(scratch, "test", 10).result())
