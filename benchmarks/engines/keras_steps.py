"""The steps of a Keras model under `model.fit`, for the trainers in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class FirstStep(keras.callbacks.Callback):
    """Says when the first step is done, its loss read."""

    def __init__(self, done: Callable[[], None]) -> None:
        super().__init__()
        self.done = done

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras."""
        if batch == 0:
            float((logs or {})["loss"])
            self.done()


def fit(model: keras.Model, data: keras.utils.PyDataset, done: Callable[[], None]) -> float:
    """Train on the data once; the last loss."""
    history = model.fit(data, shuffle=False, verbose=0, callbacks=[FirstStep(done)])
    return float(history.history["loss"][-1])
