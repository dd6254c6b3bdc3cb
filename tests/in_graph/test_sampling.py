"""Sampling in the graph against the numpy sampler, setting by setting and all at once."""

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.generation import samplers
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.in_graph.sampling import Knobs, sample, threefry2x32, uniform

KINDS = {
    "greedy": {},
    "plain": {"temperature": 1.0},
    "hot": {"temperature": 1.7},
    "cold": {"temperature": 0.3},
    "top_k": {"temperature": 1.0, "top_k": 5},
    "top_k of all": {"temperature": 1.0, "top_k": 10**6},
    "top_p": {"temperature": 1.0, "top_p": 0.7},
    "a tiny top_p": {"temperature": 1.0, "top_p": 1e-6},
    "min_p": {"temperature": 1.0, "min_p": 0.2},
    "penalised": {"repetition_penalty": 1.8},
    "all": {"temperature": 0.9, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.3},
}
SEEDS = np.array([0, 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)


def knobs_of(settings: list[GenerationConfig], seeds: np.ndarray) -> Knobs:
    return Knobs(
        *(
            tf.constant([getattr(own, name) for own in settings], dtype)
            for name, dtype in (
                ("temperature", tf.float32),
                ("top_k", tf.int64),
                ("top_p", tf.float32),
                ("min_p", tf.float32),
                ("repetition_penalty", tf.float32),
            )
        ),
        seed=tf.constant(seeds.view(np.int64)),
    )


def seen_in(texts: list[np.ndarray], size: int) -> tf.Tensor:
    seen = np.zeros((len(texts), size), bool)
    for row, text in zip(seen, texts, strict=True):
        row[text] = True
    return tf.constant(seen)


def test_the_hash_is_threefry() -> None:
    """The known answers of the Random123 library."""
    for key, counter, expected in (
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ):
        words = [[tf.constant([word], tf.uint32) for word in pair] for pair in (key, counter)]
        assert tuple(int(word[0]) for word in threefry2x32(*map(tuple, words))) == expected


def test_the_numbers_are_numpys() -> None:
    for step in (0, 1, 77, 2**20):
        found = uniform(tf.constant(SEEDS.view(np.int64)), tf.constant(step))
        np.testing.assert_array_equal(found, samplers.uniform(SEEDS, step))


@pytest.mark.parametrize("size", [3, 40, 2000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_gets_the_token_that_numpy_draws(kind: str, size: int) -> None:
    generator = np.random.default_rng(size)
    rows = 150
    logits = generator.normal(size=(rows, size), scale=2).astype(np.float32)
    logits[::3] = np.round(logits[::3])  # with many equals
    texts = [generator.integers(0, size, 6) for _ in range(rows)]
    seeds = generator.integers(0, 2**64, rows, dtype=np.uint64)
    settings = GenerationConfig(**KINDS[kind])
    expected = samplers.sample(logits, settings, seeds, 3, [Text(text, 4) for text in texts], 0)
    found = tf.function(sample)(
        tf.constant(logits), knobs_of([settings] * rows, seeds), seen_in(texts, size), tf.constant(3)
    )
    np.testing.assert_array_equal(found, expected)
    assert len(set(expected.tolist())) > 2 or kind == "a tiny top_p" or size == 3


def test_rows_of_every_kind_together_get_what_each_gets_alone() -> None:
    generator = np.random.default_rng(1)
    each = [GenerationConfig(**kind) for kind in KINDS.values()]
    logits = generator.normal(size=(len(each), 50), scale=2).astype(np.float32)
    texts = [generator.integers(0, 50, 9) for _ in each]
    seeds = generator.integers(0, 2**64, len(each), dtype=np.uint64)
    knobs, seen = knobs_of(each, seeds), seen_in(texts, 50)
    together = sample(tf.constant(logits), knobs, seen, tf.constant([0], tf.int64)).numpy()
    for row in range(len(each)):
        own = Knobs(*(value[row : row + 1] for value in knobs))
        alone = sample(
            tf.constant(logits[row : row + 1]), own, seen[row : row + 1], tf.constant([0], tf.int64)
        )
        assert together[row] == int(alone[0])


def test_a_top_p_of_nothing_keeps_the_best_token() -> None:
    logits = tf.constant([[0.0, 2.0, 1.0]])
    knobs = knobs_of([GenerationConfig(temperature=1.0)], SEEDS[:1])._replace(top_p=tf.constant([0.0]))
    assert sample(
        logits, knobs, tf.zeros_like(logits, tf.bool), tf.constant([0], tf.int64)
    ).numpy().tolist() == [1]


def test_the_frequencies_are_the_probabilities() -> None:
    """10,000 seeds on three tokens: within four standard deviations."""
    probabilities = np.array([0.6, 0.3, 0.1], np.float32)
    seeds = np.arange(10_000, dtype=np.uint64)
    knobs = knobs_of([GenerationConfig(temperature=1.0)] * len(seeds), seeds)
    logits = tf.tile(tf.math.log(probabilities)[None], [len(seeds), 1])
    found = sample(logits, knobs, tf.zeros_like(logits, tf.bool), tf.constant([0], tf.int64)).numpy()
    shares = np.bincount(found, minlength=3) / len(seeds)
    assert np.all(np.abs(shares - probabilities) < 4 * np.sqrt(probabilities / len(seeds)))
