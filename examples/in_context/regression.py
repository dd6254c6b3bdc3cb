"""Linear regression in the context, after Garg et al. 2022 (arXiv:2208.01066): x1, y1, x2, y2, ... -> y."""

import keras
import numpy as np

import kerasgpt

NUM_DIMENSIONS, NUM_POINTS, BATCH_SIZE = 5, 15, 64


def draw(generator: np.random.Generator, count: int, active: int = NUM_DIMENSIONS):
    """Points x (count, n, d) and values y (count, n) of as many random functions y = w x."""
    points = generator.normal(size=(count, NUM_POINTS, NUM_DIMENSIONS)).astype("float32")
    points[..., active:] = 0  # an easier task for the beginning
    weights = generator.normal(size=(count, NUM_DIMENSIONS, 1))
    return points, (points @ weights)[..., 0].astype("float32")


def as_sequence(points, values):
    """Lay x as [x, 0] and y as [0, y] in turn: (count, 2 n, d + 1)."""
    sequence = np.zeros((len(points), 2 * NUM_POINTS, NUM_DIMENSIONS + 1), "float32")
    sequence[:, 0::2, :-1], sequence[:, 1::2, -1] = points, values
    return sequence


class Functions(keras.utils.PyDataset):
    """Batches of functions never seen before; of fewer dimensions in the first third."""

    def __init__(self, num_steps: int):
        super().__init__()
        self.num_steps = num_steps

    def __len__(self):
        return self.num_steps

    def __getitem__(self, step):
        active = min(2 + 9 * step // self.num_steps, NUM_DIMENSIONS)
        points, values = draw(np.random.default_rng([1, step]), BATCH_SIZE, active)
        return as_sequence(points, values), values


def make_model(kind: str) -> keras.Model:
    """A GPT-2 or an LSTM of as many weights between a read-in and a read-out."""
    sequence = keras.Input((2 * NUM_POINTS, NUM_DIMENSIONS + 1))
    if kind == "GPT-2":
        config = kerasgpt.GPT2Config(
            1, 2 * NUM_POINTS, 4, 4, 64, dropout=0, embedding_dropout=0, attention_dropout=0
        )
        hidden = kerasgpt.GPT2(config)(inputs_embeds=keras.layers.Dense(64)(sequence))
    else:
        hidden = keras.layers.Dense(64)(sequence)
        for _ in range(2):
            hidden = keras.layers.LSTM(116, return_sequences=True)(hidden)
    return keras.Model(sequence, keras.layers.Dense(1)(hidden[:, ::2])[..., 0])


def least_squares(points, values):
    """The best there is: for each i the minimum-norm solution of the i points before, (count, n)."""
    answers = np.zeros_like(values)
    for i in range(1, NUM_POINTS):
        answers[:, i] = (points[:, i, None] @ np.linalg.pinv(points[:, :i]) @ values[:, :i, None])[:, 0, 0]
    return answers
