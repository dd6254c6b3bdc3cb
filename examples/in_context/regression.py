"""Linear regression in the context, after Garg et al. 2022 (arXiv:2208.01066): x1, y1, x2, y2, ... -> y."""

import keras
import numpy as np

import kerasgpt

NUM_DIMENSIONS, NUM_POINTS, BATCH_SIZE = 3, 10, 64


def draw(generator: np.random.Generator, count: int):
    """Draw points x (count, n, d) and values y (count, n) of as many functions y = w x."""
    points = generator.normal(size=(count, NUM_POINTS, NUM_DIMENSIONS)).astype("float32")
    weights = generator.normal(size=(count, NUM_DIMENSIONS, 1)) / NUM_DIMENSIONS**0.5
    return points, (points @ weights)[..., 0].astype("float32")


def as_sequence(points, values):
    """Lay x as [x, 0] and y as [0, y] in turn: (count, 2 n, d + 1)."""
    sequence = np.zeros((len(points), 2 * NUM_POINTS, NUM_DIMENSIONS + 1), "float32")
    sequence[:, 0::2, :-1], sequence[:, 1::2, -1] = points, values
    return sequence


class Functions(keras.utils.PyDataset):
    """Batches of functions, each of them seen once."""

    def __init__(self, num_steps: int):
        super().__init__()
        self.num_steps = num_steps

    def __len__(self):
        return self.num_steps

    def __getitem__(self, step):
        points, values = draw(np.random.default_rng([1, step]), BATCH_SIZE)
        return as_sequence(points, values), values


def make_model(kind: str) -> keras.Model:
    """A GPT-2, or an LSTM of about as many weights, between a read-in and a read-out."""
    sequence = keras.Input((2 * NUM_POINTS, NUM_DIMENSIONS + 1))
    hidden = keras.layers.Dense(64)(sequence)
    if kind == "GPT-2":
        rates = dict.fromkeys(("dropout", "embedding_dropout", "attention_dropout"), 0.0)
        config = kerasgpt.GPT2Config(1, 2 * NUM_POINTS, 3, 4, 64, **rates)
        hidden = kerasgpt.GPT2(config)(inputs_embeds=hidden)
    else:
        for _ in range(2):
            hidden = keras.layers.LSTM(100, return_sequences=True)(hidden)
    return keras.Model(sequence, keras.layers.Dense(1)(hidden[:, ::2])[..., 0])


def least_squares(points, values):
    """The best there is: for each i the minimum-norm solution of the i points before, (count, n)."""
    answers = np.zeros_like(values)
    for i in range(1, NUM_POINTS):
        answers[:, i] = (points[:, i, None] @ np.linalg.pinv(points[:, :i]) @ values[:, :i, None])[:, 0, 0]
    return answers
