import multiprocessing

import keras
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
    data = Counted(4, 2, first_step=5, num_steps=4)
    for _ in range(2):  # however often and whenever it is asked
        data.on_epoch_begin()
        assert data.num_batches == 4
        assert _steps(data) == [5, 6, 7, 8]
    assert not data._asked  # nothing that would grow with a run of a million steps


def _pass(data):
    """As Keras asks for all batches."""
    return [int(data[number][0][0, 0]) for number in range(data.num_batches)]


@pytest.mark.parametrize("looked_at", [0, 2])  # `fit` shuffles the batches of an epoch, if it is let
def test_what_is_only_looked_at_is_no_pass(looked_at):
    data = Counted(4, 2)
    data.on_epoch_begin()
    assert data.num_batches == 3
    data[looked_at]  # JAX looks at its shape
    data.on_epoch_begin()
    assert _pass(data) == [0, 1, 2]
    data.on_epoch_begin()
    assert _pass(data) == [3, 4, 5]
    assert data.waited_seconds > 0


def test_a_loop_of_ones_own_tells_its_epochs():
    data = Counted(4, 2)
    assert _steps(data) == _steps(data) == [0, 1, 2]
    for epoch in range(3):
        data.on_epoch_begin()
        assert _steps(data) == [3 * epoch, 3 * epoch + 1, 3 * epoch + 2]


def test_a_process_that_was_forked_trains_as_its_parent():
    data = Counted(4, 2)

    def train(queue):
        data.on_epoch_begin()
        queue.put([_pass(data), _pass(data)])

    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=train, args=(queue,))
    child.start()
    assert queue.get() == [[0, 1, 2], [3, 4, 5]]
    child.join()


class Seen(keras.Model):
    """Notes the steps of the batches it is trained on."""

    def call(self, inputs):
        return inputs

    def train_step(self, data):
        self.steps.append(int(np.asarray(data[0])[0, 0]))
        return {"loss": 0.0}


class Six(Counted):
    steps_per_epoch = 6


@pytest.mark.parametrize("words", [{}, *({"steps_per_epoch": count} for count in (1, 2, 3, 6))], ids=str)
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_pass_over_the_data_may_take_several_epochs(words, shuffle):
    model, passes = Seen(), 3
    model.steps = []
    model.compile(run_eagerly=True)
    epochs = passes * 6 // words.get("steps_per_epoch", 6)
    model.fit(Six(4, 2), epochs=epochs, shuffle=shuffle, verbose=0, **words)
    found = [model.steps[6 * number : 6 * number + 6] for number in range(passes)]
    assert [sorted(steps) for steps in found] == [list(range(6 * n, 6 * n + 6)) for n in range(passes)]
    if not shuffle:
        assert model.steps == sorted(model.steps)


def test_a_second_fit_goes_on_with_the_next_pass():
    model, data = Seen(), Six(4, 2)
    model.compile(run_eagerly=True)
    for number in range(3):
        model.steps = []
        model.fit(data, verbose=0)
        assert sorted(model.steps) == list(range(6 * number, 6 * number + 6))


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
