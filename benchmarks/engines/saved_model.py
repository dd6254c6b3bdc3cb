"""Our SavedModel by TensorFlow alone: ``python saved_model.py FOLDER [PENALTY]``; text included.

A repetition penalty other than 1 keeps the graph from drafting.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from worker import Write, serve


def load(folder: str, penalty: str = "1") -> Write:
    """Its generator of ids, with the other defaults of the signature."""
    loaded = tf.saved_model.load(folder)

    def write(prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        ids = tf.constant(np.array(prompts, np.int64))
        lengths = tf.fill([len(prompts)], tf.constant(len(prompts[0]), tf.int64))
        settings = {
            "max_new_tokens": tf.constant([num_tokens], tf.int64),
            "repetition_penalty": tf.constant([float(penalty)]),
        }
        found = loaded.generate_tokens(ids, lengths, **settings)
        return found["token_ids"].numpy().tolist()

    return write


if __name__ == "__main__":
    serve(tf.__version__, lambda: load(*sys.argv[1:]))
