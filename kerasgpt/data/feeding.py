"""Batches on their way into `fit` and `evaluate`: on TensorFlow by a pipeline that ends when they do."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Final

import keras
import numpy as np

MADE_AHEAD: Final = 2  # batches
MADE_TOGETHER: Final = 8  # a call of Python from TensorFlow costs half a millisecond


def fed(data: keras.utils.PyDataset) -> Any:
    """What to give to `fit` or `evaluate` in place of a data set, whose every batch has the same shapes.

    TensorFlow reads a PyDataset through a pipeline that Keras makes, with an autotuner which looks at it
    after naps, each twice as long as the one before. Whoever is done may have to wait for the end of a nap:
    evaluating takes up to twice its time. In this pipeline there is none, and several batches are fetched
    at a time.
    """
    if keras.backend.backend() != "tensorflow":
        return data
    tf: Any = importlib.import_module("tensorflow")

    def groups() -> Iterator[Any]:
        for first in range(0, len(data), MADE_TOGETHER):
            batches = [data[number] for number in range(first, min(first + MADE_TOGETHER, len(data)))]
            yield keras.tree.map_structure(lambda *arrays: np.stack(arrays), *batches)

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec((None, *np.shape(array)), array.dtype), data[0]
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    pipeline = tf.data.Dataset.from_generator(groups, output_signature=signature).unbatch()
    pipeline = pipeline.apply(tf.data.experimental.assert_cardinality(len(data)))
    return pipeline.prefetch(MADE_AHEAD).with_options(options)
