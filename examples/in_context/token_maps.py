"""Token-to-token maps in the context: a f(a) b f(b) a ..., each sequence with a random f of its own.

A quarter of the sequences are random tokens read again and again instead, as texts repeat what they said:
without them the plateau where a model answers with any value of the context outlasts these minutes.
"""

import keras
import numpy as np

import kerasgpt
from kerasgpt.models.attention_weights import attention_weights

NUM_TOKENS, NUM_KEYS, NUM_PAIRS, BATCH_SIZE, NUM_REPEATED = 32, 6, 24, 64, 16


def draw(generator: np.random.Generator, count: int):
    """Sequences (count, 2 n) of pairs, and whether a pair's token has come before, (count, n)."""
    keys = generator.permuted(np.tile(np.arange(NUM_TOKENS), (count, 1)), axis=1)[:, :NUM_KEYS]
    values = generator.integers(NUM_TOKENS, size=(count, NUM_KEYS))
    which = generator.integers(NUM_KEYS, size=(count, NUM_PAIRS))
    pairs = np.stack([np.take_along_axis(side, which, 1) for side in (keys, values)], axis=2)
    before = np.tril(which[:, :, None] == which[:, None], -1).any(2)
    return pairs.reshape(count, 2 * NUM_PAIRS), before


def draw_repeated(generator: np.random.Generator, count: int):
    """Sequences (count, 2 n) of random tokens read again and again, and which of them could be known."""
    lengths = generator.integers(NUM_PAIRS // 4, NUM_PAIRS + 1, size=(count, 1))
    once = generator.permuted(np.tile(np.arange(NUM_TOKENS), (count, 1)), axis=1)
    places = np.arange(2 * NUM_PAIRS)
    return np.take_along_axis(once, places % lengths, 1), places > lengths


class Maps(keras.utils.PyDataset):
    """Batches never seen before; what can be known from the context counts, nothing else."""

    def __init__(self, num_steps: int):
        super().__init__()
        self.num_steps = num_steps

    def __len__(self):
        return self.num_steps

    def __getitem__(self, step):
        generator = np.random.default_rng([2, step])
        ids, before = draw(generator, BATCH_SIZE - NUM_REPEATED)
        counts = np.zeros(ids.shape, "float32")
        counts[:, 1::2] = before
        repeated, known = draw_repeated(generator, NUM_REPEATED)
        ids, counts = np.concatenate([ids, repeated]), np.concatenate([counts, known.astype("float32")])
        return ids[:, :-1], ids[:, 1:], counts[:, 1:]


def make_model(kind: str) -> keras.Model:
    """A GPT-2, or an LSTM of about as many weights: ids (B, T) -> logits (B, T, NUM_TOKENS)."""
    if kind == "GPT-2":
        rates = dict.fromkeys(("dropout", "embedding_dropout", "attention_dropout"), 0.0)
        config = kerasgpt.GPT2Config(NUM_TOKENS, 2 * NUM_PAIRS, 2, 4, 64, initializer_range=0.05, **rates)
        return kerasgpt.GPT2CausalLM(config)
    lstm = [keras.layers.LSTM(80, return_sequences=True) for _ in range(2)]
    return keras.Sequential([keras.layers.Embedding(NUM_TOKENS, 64), *lstm, keras.layers.Dense(NUM_TOKENS)])


def accuracies(model: keras.Model, ids, before):
    """How often the value is right after each key (n,), where the pair has come before and where not."""
    right = model.predict(ids, batch_size=256, verbose=0)[:, 0::2].argmax(-1) == ids[:, 1::2]
    return [np.where(which, right, 0).sum(0) / np.maximum(which.sum(0), 1) for which in (before, ~before)]


def induction_scores(model: kerasgpt.GPT2CausalLM, count: int = 64):
    """How much each head (L, N) looks, in random tokens read twice, at what followed their token before."""
    generator = np.random.default_rng(3)
    once = generator.permuted(np.tile(np.arange(NUM_TOKENS), (count, 1)), axis=1)[:, :NUM_PAIRS]
    weights = attention_weights(model.backbone, np.concatenate([once, once], axis=1))
    rows = np.arange(NUM_PAIRS, 2 * NUM_PAIRS - 1)
    return np.array([np.asarray(layer)[:, :, rows, rows - NUM_PAIRS + 1].mean((0, 2)) for layer in weights])
