"""logits -> id: the most probable, or drawn with one reproducible number per row and step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.generation.picking import pick
from kerasgpt.generation.processors import heed, process
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Ids, Logits

Words: TypeAlias = NDArray[np.uint32]
Seeds: TypeAlias = NDArray[np.uint64]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
"""Threefry-2x32's rotation distances; groups of four rounds take the two rows in turn."""

DRAWN_AHEAD = 64  # steps whose numbers are drawn at once

KEY_PARITY = 0x1BD11BDA
"""The constant of Threefish's key schedule, cut to 32 bits."""


def sample(
    logits: Logits,
    settings: GenerationConfig,
    row_seeds: Seeds,
    steps: Ids | int,
    texts: Sequence[Text],
    end_of_text_id: int,
) -> Ids:
    """Choose each row's next token by the request's settings.

    A row's choice depends on its own logits, text, seed and the step alone, never on its neighbours.

    Args:
        logits: float32 (B, V), as the model gave them.
        settings: of the request; its `seed` is not read.
        row_seeds: uint64 (B,), see `seeds_of_rows`.
        steps: int64 (B,), tokens that each row has written so far.
        texts: B of them.
        end_of_text_id: the token that ends a row.

    Returns:
        int64 (B,).

    >>> logits, texts = np.array([[0.0, 3.0, 1.0]], np.float32), [Text(np.array([1]), 1)]
    >>> sample(logits, GenerationConfig(), seeds_of_rows([0]), 0, texts, end_of_text_id=2).tolist()
    [1]
    """
    if settings.is_greedy:
        return greedy(process(logits, settings, texts, end_of_text_id))
    steps_of_rows = [steps] * len(logits) if isinstance(steps, int) else steps.tolist()
    chosen = np.empty(len(logits), np.int64)
    columns = logits, texts, row_seeds.tolist(), steps_of_rows
    for place, (row, text, seed, step) in enumerate(zip(*columns, strict=True)):
        chosen[place] = pick(heed(row, settings, text, end_of_text_id), settings, drawn(seed, step))
    return chosen


def greedy(logits: Logits) -> Ids:
    """The most probable token of (..., V); the lowest id among equals."""
    ids: Ids = np.argmax(logits, axis=-1).astype(np.int64)
    return ids


def seeds_of_rows(seeds: Iterable[int]) -> Seeds:
    """The row seeds of a request, uint64 (B,): each row's seed + its index, modulo 2^64."""
    return np.array([(seed + index) % 2**64 for index, seed in enumerate(seeds)], np.uint64)


def uniform(row_seeds: Seeds, steps: Ids | int) -> NDArray[np.float32]:
    """One number in [0, 1) for each row at its step: a hash of the two, no hidden state.

    Args:
        row_seeds: uint64 (B,), the key of the hash (low word first).
        steps: int64 (B,), or one for all; its counter, (step, 0) as two words.

    Returns:
        float32 (B,): the upper 24 bits of the first word over 2^24, so that each is exact.
    """
    key = (
        (row_seeds & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        (row_seeds >> np.uint64(32)).astype(np.uint32),
    )
    counter = np.full(row_seeds.shape, steps, np.uint32), np.zeros(row_seeds.shape, np.uint32)
    word, _ = threefry2x32(key, counter)
    return (word >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def drawn(seed: int, step: int) -> np.float32:
    """The number of one row at one step, as `uniform` has it."""
    number: np.float32 = _drawn_ahead(seed, step // DRAWN_AHEAD)[step % DRAWN_AHEAD]
    return number


@lru_cache(maxsize=256)
def _drawn_ahead(seed: int, block: int) -> NDArray[np.float32]:
    """The numbers of some steps in a row: for numpy many are hardly more work than one."""
    steps = np.arange(block * DRAWN_AHEAD, (block + 1) * DRAWN_AHEAD)
    return uniform(np.full(DRAWN_AHEAD, seed, np.uint64), steps)


def threefry2x32(key: tuple[Words, Words], counter: tuple[Words, Words]) -> tuple[Words, Words]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

    Only additions, rotations and exclusive ors on 32-bit words, so that every engine can repeat it.

    Args:
        key: two uint32 arrays of one shape.
        counter: two more.

    Returns:
        Two uint32 arrays of pseudo-random words.
    """
    schedule = (*key, key[0] ^ key[1] ^ np.uint32(KEY_PARITY))
    left, right = counter[0] + key[0], counter[1] + key[1]
    for group in range(5):
        for distance in ROTATIONS[group % 2]:
            left = left + right
            right = _rotate_left(right, distance) ^ left
        left = left + schedule[(group + 1) % 3]
        right = right + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return left, right


def _rotate_left(words: Words, distance: int) -> Words:
    return (words << np.uint32(distance)) | (words >> np.uint32(32 - distance))
