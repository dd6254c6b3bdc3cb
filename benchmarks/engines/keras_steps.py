"""The steps of a Keras model under `model.fit`, for the trainers in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class Stamp(keras.callbacks.Callback):
    """Says when the first step and the last are done, their losses read."""

    def __init__(self, num_steps: int, stamp: Callable[[], None]) -> None:
        super().__init__()
        self.num_steps, self.stamp = num_steps, stamp

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras."""
        if batch in (0, self.num_steps - 1):
            float((logs or {})["loss"])
            self.stamp()


def fit(
    model: keras.Model,
    data: Any,
    num_steps: int,
    stamp: Callable[[], None],
    callback_list: Callable[[list[keras.callbacks.Callback], keras.Model], Any] = lambda callbacks, _: (
        callbacks
    ),
) -> float:
    """Train on the data once; the last loss. A trainer may have a list of callbacks of its own kind."""
    callbacks = callback_list([Stamp(num_steps, stamp)], model)
    history = model.fit(data, shuffle=False, verbose=0, callbacks=callbacks)
    return float(history.history["loss"][-1])
