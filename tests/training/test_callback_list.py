"""Callbacks that do not wait for each step's losses."""

import keras
import numpy as np

from kerasgpt.data.pipeline import TokenDataset
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.callback_list import LazyCallbacks
from kerasgpt.training.learner import make_learner

IDS = np.arange(500) % 7


def test_losses_are_no_numbers_until_a_callback_reads_one(recipe):
    learner, seen = make_learner(recipe("train.steps=3"), Tokenizer.learn(["abc"], 257)), []

    class See(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((batch, {name: type(value) for name, value in logs.items()}))

    data = TokenDataset(IDS, 16, 2, num_steps=3)
    history = learner.model.fit(
        data, verbose=0, shuffle=False, callbacks=LazyCallbacks([See()], learner.model)
    )
    assert [batch for batch, _ in seen] == [0, 1, 2]
    assert all(float not in types.values() and set(types) == {"loss", "nats"} for _, types in seen)
    assert [type(value) for value in history.history["nats"]] == [float]
