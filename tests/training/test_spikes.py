"""A spike ends `fit` at once, before anything of it is logged or saved."""

import numpy as np
import pytest

from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.callbacks import CountSteps, StepCallback
from kerasgpt.training.learner import make_learner
from kerasgpt.training.resume import RunState
from kerasgpt.training.spikes import WatchSpikes

IDS = np.arange(32, dtype="int32").reshape(2, 16)


class _Later(StepCallback):
    """Notes the steps that callbacks after the watch see."""

    def on_step(self, step, logs):
        self.seen = [*getattr(self, "seen", []), step]


@pytest.mark.parametrize(("spike", "seen", "rolls_back"), [(0, [1, 2, 3, 4], False), (3, [1, 2], True)])
def test_fit_ends_at_the_spike_and_no_later_callback_sees_it(recipe, spike, seen, rolls_back):
    settings = recipe("train.steps=4", "train.spike_policy=rollback")
    learner = make_learner(settings, Tokenizer.learn(["abc"], 257))
    state = RunState()
    watch, later = WatchSpikes(settings.train, state, learner), _Later(settings.train, state, every=1)

    class Spike(StepCallback):
        def on_step(self, step, logs):
            if step == spike:
                learner.optimizer.num_spikes.assign(1.0)

    callbacks = [CountSteps(settings.train, state, learner), Spike(settings.train, state, 1), watch, later]
    data = np.concatenate([IDS] * 4)
    learner.model.fit(data, data, batch_size=2, verbose=0, shuffle=False, callbacks=callbacks)
    assert later.seen == seen
    assert state.rolls_back == rolls_back
