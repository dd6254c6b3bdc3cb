"""What a model says after each token alone: guesses for a text that has nothing to draft from itself."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasgpt.config import GPT2Config
from kerasgpt.in_graph.transformer import GraphTransformer
from kerasgpt.in_graph.weights import Arrays

MOST_TOKENS = 16_384
"""How many ids are asked for, the first: byte-pair encodings number frequent pieces first. Nine tokens of
ten are among them in an encyclopedia, nineteen of twenty in children's stories."""

_TOGETHER = 1024  # of V logits each


def followers(config: GPT2Config, arrays: Arrays, centred: bool) -> NDArray[np.int32]:
    """The most probable token after each token that stands alone, at the beginning of a context.

    Such a text of one token needs no attention, and the answer is about as good a guess as the counts of
    pairs in what the model writes itself (docs/log.md).

    Args:
        config: of the model.
        arrays: float32, those of `GraphTransformer`, before they are rounded.
        centred: as in `GraphTransformer`.

    Returns:
        int32 (V,), -1 for ids that are not asked for.
    """
    network = GraphTransformer(config, arrays, centred=centred)
    found = np.full(config.vocabulary_size, -1, np.int32)
    last = min(config.vocabulary_size, MOST_TOKENS)
    for first in range(0, last, _TOGETHER):
        ids = np.arange(first, min(first + _TOGETHER, last), dtype=np.int32)
        hidden = network.final_norm(network.read_alone(ids))
        found[ids] = tf.argmax(network.head(hidden), axis=1).numpy()
    return found
