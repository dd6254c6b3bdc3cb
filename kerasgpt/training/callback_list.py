"""Keras's list of callbacks, without its wait after each step."""

from __future__ import annotations

from typing import Any

import keras


class LazyCallbacks(keras.callbacks.CallbackList):
    """Keras's list of callbacks, for `fit`, without the wait for each step's losses.

    Keras makes numbers of the losses after each batch, whether a callback reads them or not, and so a GPU has
    nothing to do from the end of a step until the next is sent. Here callbacks get them as they are, and who
    reads one waits.

    Args:
        callbacks: of the training.
        model: that trains.
    """

    def __init__(self, callbacks: list[keras.callbacks.Callback], model: keras.Model) -> None:
        super().__init__(callbacks, add_history=True, model=model)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called by Keras."""
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs=logs)
