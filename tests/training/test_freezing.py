"""Frozen weights stay as they are; the others learn."""

import numpy as np
import pytest

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.freezing import freeze
from kerasgpt.training.learner import make_learner

IDS = np.arange(32, dtype="int32").reshape(2, 16)


@pytest.fixture
def make(recipe):
    tokenizer = Tokenizer.learn(["to be or not to be"] * 3, 260)
    return lambda *settings: make_learner(recipe("model.num_layers=3", *settings), tokenizer)


def test_only_what_no_pattern_fits_changes(make):
    learner = make("train.freeze=['wte.weight', 'transformer.h.[01].*']", "train.ema_decay=0.9")
    before = {name: array.copy() for name, array in named_arrays(learner.model).items()}
    for _ in range(2):
        learner.model.train_on_batch(IDS, IDS)
    changed = {name for name, array in named_arrays(learner.model).items() if (array != before[name]).any()}
    frozen = {name for name in before if "wte" in name or ".h.0." in name or ".h.1." in name}
    assert changed == before.keys() - frozen
    assert frozen
    assert len(learner.optimizer.averages) == len(changed)


def test_patterns_that_fit_nothing_or_everything_are_refused(make):
    model = make().model
    with pytest.raises(UsageError, match=r"unknown weight in train\.freeze 'wt.weight': did you mean 'wte"):
        freeze(model, ["wt.weight"])
    with pytest.raises(UsageError, match="leaves nothing to train"):
        freeze(model, ["*"])
