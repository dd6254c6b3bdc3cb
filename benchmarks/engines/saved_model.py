"""Our SavedModel by TensorFlow alone: ``python saved_model.py FOLDER [SIGNATURE]``; text included."""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from worker import Write, serve


def load(folder: str, name: str = "generate_tokens") -> Write:
    """Its generator of ids, with the defaults of the signature."""
    loaded = tf.saved_model.load(folder)

    def write(prompts: list[list[int]], num_tokens: int) -> list[list[int]]:
        ids = tf.constant(np.array(prompts, np.int64))
        lengths = tf.fill([len(prompts)], tf.constant(len(prompts[0]), tf.int64))
        found = getattr(loaded, name)(ids, lengths, max_new_tokens=tf.constant([num_tokens], tf.int64))
        return found["token_ids"].numpy().tolist()

    return write


if __name__ == "__main__":
    serve(tf.__version__, lambda: load(*sys.argv[1:]))
