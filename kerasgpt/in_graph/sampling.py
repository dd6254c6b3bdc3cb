"""logits -> id inside the graph: `kerasgpt.generation.samplers` in TensorFlow ops, row by row the same.

Every filter known here keeps the first tokens by falling probability, so that one sort serves them all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from kerasgpt.generation.samplers import KEY_PARITY, ROTATIONS


class Knobs(NamedTuple):
    """How each row is sampled; neutral values are in brackets.

    Attributes:
        temperature: float32 (B,), 0 means greedy [1].
        top_k: int64 (B,), tokens kept [0].
        top_p: float32 (B,), probability kept [1].
        min_p: float32 (B,), least share of the best token's probability [0].
        repetition_penalty: float32 (B,) [1].
        seed: int64 (B,), the 64 bits of the row's seed.
    """

    temperature: Any
    top_k: Any
    top_p: Any
    min_p: Any
    repetition_penalty: Any
    seed: Any


def sample(logits: Any, knobs: Knobs, seen: Any, steps: Any) -> Any:
    """Choose each row's next token by its own settings, whatever its neighbours ask for.

    The drawn numbers are those of the numpy sampler, bit for bit. Sums of probabilities are rounded
    otherwise, so that a number that falls between the two gives another token: on random logits over
    GPT-2's 50,257 tokens in 6 of 3,072 draws, over 2,000 tokens in none.

    Args:
        logits: float32 (B, V), as the model gave them.
        knobs: of the rows.
        seen: bool (B, V), tokens that prompt and continuation hold.
        steps: int64 (B,), tokens of each row written so far.

    Returns:
        int64 (B,).
    """
    penalty = knobs.repetition_penalty[:, None]
    penalised = tf.where(logits > 0, logits / penalty, logits * penalty)
    logits = tf.where(seen, penalised, logits)
    best = tf.argmax(logits, axis=-1)  # the lowest id among equals
    is_sampled = knobs.temperature > 0
    drawn = tf.cond(tf.reduce_any(is_sampled), lambda: _draw(logits, knobs, steps), lambda: best)
    return tf.where(is_sampled, drawn, best)


def _draw(logits: Any, knobs: Knobs, steps: Any) -> Any:
    """Lay the tokens that are kept end to end, and take the one that the row's number falls on."""
    heat = tf.where(knobs.temperature > 0, knobs.temperature, 1.0)[:, None]
    ids = tf.argsort(logits / heat, direction="DESCENDING", stable=True)  # (B, V)
    ranked = tf.gather(logits / heat, ids, batch_dims=1)
    weights = _keep_top_k(tf.exp(ranked - ranked[:, :1]), ranked, knobs.top_k)
    weights = _keep_top_p(weights, knobs.top_p)
    weights = tf.where(weights < knobs.min_p[:, None] * weights[:, :1], 0.0, weights)
    target = uniform(knobs.seed, steps) * tf.reduce_sum(weights, axis=-1)  # (B,)
    passed = tf.reduce_sum(tf.cast(tf.cumsum(weights, axis=-1) <= target[:, None], tf.int32), axis=-1)
    last = tf.reduce_sum(tf.cast(weights > 0, tf.int32), axis=-1) - 1
    return tf.cast(tf.gather(ids, tf.minimum(passed, last), batch_dims=1), tf.int64)


def _keep_top_k(weights: Any, ranked: Any, count: Any) -> Any:
    """Remove what is less probable than the k-th, whose equals stay."""
    size = tf.shape(ranked, tf.int64)[1]
    place = tf.where((count > 0) & (count < size), count, size) - 1
    threshold = tf.gather(ranked, place, batch_dims=1)[:, None]
    return tf.where(ranked < threshold, 0.0, weights)


def _keep_top_p(weights: Any, probability: Any) -> Any:
    """Remove what comes after the first tokens that together reach the probability; one stays in any case."""
    target = probability[:, None] * tf.reduce_sum(weights, axis=-1, keepdims=True)
    before = tf.cumsum(weights, axis=-1, exclusive=True)
    is_off = probability[:, None] >= 1
    return tf.where(is_off | (before < target) | (before == 0), weights, 0.0)


def uniform(seeds: Any, steps: Any) -> Any:
    """One number in [0, 1) for each row at its step, as `kerasgpt.generation.samplers.uniform` gives it.

    Args:
        seeds: int64 (B,), the 64 bits of the row's seed.
        steps: int64 (B,), or one for all ().

    Returns:
        float32 (B,).
    """
    low, high = tf.unstack(tf.bitcast(seeds, tf.uint32), axis=-1)
    left = tf.broadcast_to(tf.cast(steps, tf.uint32), tf.shape(low))
    word, _ = threefry2x32((low, high), (left, tf.zeros_like(left)))
    return tf.cast(tf.bitwise.right_shift(word, _word(8)), tf.float32) * 2.0**-24


def threefry2x32(key: tuple[Any, Any], counter: tuple[Any, Any]) -> tuple[Any, Any]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011), on uint32 tensors of one shape."""
    schedule = (*key, tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(*key), _word(KEY_PARITY)))
    left, right = counter[0] + key[0], counter[1] + key[1]
    for group in range(5):
        for distance in ROTATIONS[group % 2]:
            left = left + right
            right = tf.bitwise.bitwise_xor(_rotate_left(right, distance), left)
        left = left + schedule[(group + 1) % 3]
        right = right + schedule[(group + 2) % 3] + _word(group + 1)
    return left, right


def _rotate_left(words: Any, distance: int) -> Any:
    return tf.bitwise.bitwise_or(
        tf.bitwise.left_shift(words, _word(distance)), tf.bitwise.right_shift(words, _word(32 - distance))
    )


def _word(value: int) -> Any:
    return tf.constant(value, tf.uint32)
