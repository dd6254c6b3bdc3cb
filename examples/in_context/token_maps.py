"""Token-to-token maps in the context: a f(a) b f(b) a ..., each sequence with a random f of its own."""

import keras
import numpy as np

import kerasgpt
from kerasgpt.models.attention_weights import attention_weights

NUM_TOKENS, NUM_KEYS, NUM_PAIRS, BATCH_SIZE = 16, 4, 12, 64


def draw(generator: np.random.Generator, count: int):
    """Sequences (count, 2 n) of pairs, and whether a pair's token has come before, (count, n)."""
    keys = generator.permuted(np.tile(np.arange(NUM_TOKENS), (count, 1)), axis=1)[:, :NUM_KEYS]
    values = generator.integers(NUM_TOKENS, size=(count, NUM_KEYS))
    which = generator.integers(NUM_KEYS, size=(count, NUM_PAIRS))
    pairs = np.stack([np.take_along_axis(side, which, 1) for side in (keys, values)], axis=2)
    before = np.tril(which[:, :, None] == which[:, None], -1).any(2)
    return pairs.reshape(count, 2 * NUM_PAIRS), before


class Maps(keras.utils.PyDataset):
    """Batches of maps never seen before; what follows a key counts, what follows a value cannot be known."""

    def __init__(self, num_steps: int):
        super().__init__()
        self.num_steps = num_steps

    def __len__(self):
        return self.num_steps

    def __getitem__(self, step):
        ids, _ = draw(np.random.default_rng([2, step]), BATCH_SIZE)
        counts = np.arange(2 * NUM_PAIRS - 1) % 2 == 0
        return ids[:, :-1], ids[:, 1:], np.broadcast_to(counts, (BATCH_SIZE, counts.size)).astype("float32")


def make_model(kind: str) -> keras.Model:
    """A GPT-2, or an LSTM of about as many weights: ids (B, T) -> logits (B, T, 16)."""
    if kind == "GPT-2":
        rates = dict.fromkeys(("dropout", "embedding_dropout", "attention_dropout"), 0.0)
        return kerasgpt.GPT2CausalLM(kerasgpt.GPT2Config(NUM_TOKENS, 2 * NUM_PAIRS, 2, 4, 64, **rates))
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
