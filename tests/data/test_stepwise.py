import numpy as np
import pytest

from kerasgpt.data.stepwise import StepwiseDataset, require_seed
from kerasgpt.errors import UsageError


class Counted(StepwiseDataset):
    """A batch is the number of its step."""

    steps_per_epoch = 3

    def batch(self, step):
        return np.full((2, 4), step, np.int32), np.zeros((2, 4), np.int32), np.ones((2, 4), np.float32)


def _steps(data):
    return [int(data[number][0][0, 0]) for number in range(len(data))]


def test_a_run_goes_on_from_any_step():
    assert _steps(Counted(4, 2, first_step=5, num_steps=4)) == [5, 6, 7, 8]


@pytest.mark.parametrize("looked_at", [0, 2])  # `fit` shuffles the batches of an epoch, if it is let
def test_an_epoch_counts_once_more_than_one_batch_was_asked_for(looked_at):
    data = Counted(4, 2)
    data.on_epoch_begin()
    data[looked_at]  # JAX looks at its shape
    data.on_epoch_begin()
    assert _steps(data) == [0, 1, 2]
    data.on_epoch_begin()
    assert _steps(data) == [3, 4, 5]
    assert data.waited_seconds > 0


@pytest.mark.parametrize("sizes", [(0, 2), (4, 0)])
def test_a_size_below_one_is_refused(sizes):
    with pytest.raises(UsageError, match="at least 1 each"):
        Counted(*sizes)


@pytest.mark.parametrize("seed", [-1, 0.5, "1"])
def test_a_seed_that_numpy_does_not_take_is_refused(seed):
    with pytest.raises(UsageError, match="a whole number of 0 or more"):
        require_seed(seed)
    for taken in (None, 0, np.int64(3), 2**70):
        require_seed(taken)
