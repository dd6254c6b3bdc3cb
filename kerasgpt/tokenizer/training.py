"""Learn a byte-level BPE vocabulary from text, with the trainer of the `tokenizers` library."""

from __future__ import annotations

import json
from collections.abc import Iterable

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.bpe import Tokenizer, byte_alphabet, learned_vocabulary

SMALLEST_VOCABULARY = 257  # 256 bytes and <|endoftext|>


def learn(texts: Iterable[str], vocabulary_size: int, *, minimum_frequency: int = 2) -> Tokenizer:
    """Learn the merges that shorten a text most (Sennrich et al. 2016, arXiv:1508.07909).

    Args:
        texts: read once, as a stream; merges never cross from one into the next.
        vocabulary_size: V, the 256 bytes and ``<|endoftext|>`` included; fewer come out when the
            text has too few frequent pairs.
        minimum_frequency: a pair seen less often is not merged.

    Returns:
        The tokenizer: ids 0-255 are the bytes, then the merges in order, ``<|endoftext|>`` last.

    Raises:
        UsageError: `vocabulary_size` is below 257.

    >>> learn(["low lower lowest"], 260, minimum_frequency=1).encode("low")
    [257]
    """
    if vocabulary_size < SMALLEST_VOCABULARY:
        raise UsageError(
            f"a vocabulary of {vocabulary_size} is too small: 256 bytes and <|endoftext|> need"
            f" {SMALLEST_VOCABULARY}"
        )
    alphabet = byte_alphabet()
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - 1,
        min_frequency=minimum_frequency,
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    merges = _merges_in_order(backend)
    return Tokenizer(learned_vocabulary(merges), merges)


def _merges_in_order(backend: tokenizers.Tokenizer) -> list[tuple[str, str]]:
    pairs = json.loads(backend.to_str())["model"]["merges"]
    return [(left, right) for left, right in pairs]
