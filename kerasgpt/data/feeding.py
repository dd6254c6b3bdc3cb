"""Batches on their way into `fit` and `evaluate`: on TensorFlow by a pipeline that ends when they do."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Final

import keras
import numpy as np

MADE_AHEAD: Final = 2  # batches


def fed(data: keras.utils.PyDataset) -> Any:
    """What to give to `fit` or `evaluate` in place of a data set, whose every batch has the same shapes.

    TensorFlow reads a PyDataset through a pipeline that Keras makes, with an autotuner which looks at it
    after naps, each twice as long as the one before. Whoever is done may have to wait for the end of a nap:
    evaluating takes up to twice its time. In this pipeline there is none.
    """
    if keras.backend.backend() != "tensorflow":
        return data
    tf: Any = importlib.import_module("tensorflow")

    def batches() -> Iterator[Any]:
        for number in range(len(data)):
            yield data[number]

    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec((None, *np.shape(array)[1:]), array.dtype), data[0]
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    pipeline = tf.data.Dataset.from_generator(batches, output_signature=signature)
    pipeline = pipeline.apply(tf.data.experimental.assert_cardinality(len(data)))
    return pipeline.prefetch(MADE_AHEAD).with_options(options)
