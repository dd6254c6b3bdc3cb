"""Learn a byte-level BPE vocabulary from text, with the trainer of the `tokenizers` library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from kerasgpt import checks
from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.vocabulary import END_OF_TEXT, byte_alphabet, well_formed

LARGEST_VOCABULARY: Final = 2**24  # the trainer takes 70 bytes for each id at once, be there merges or not
LARGEST_FREQUENCY: Final = 2**63 - 1  # that it can be told


def learn_merges(
    texts: Iterable[str], vocabulary_size: int, minimum_frequency: int, special_tokens: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Learn the merges that shorten a text most (Sennrich et al. 2016, arXiv:1508.07909).

    The arguments are those of `Tokenizer.learn`, which numbers what the merges make.

    Returns:
        Pairs of pieces in the printable byte alphabet, in the order they were learned; fewer than fit
        into the vocabulary when the text has too few frequent pairs.

    Raises:
        UsageError: `texts` is one text, or holds what is none; `vocabulary_size` leaves no room for the
            bytes and the special tokens, or is above `LARGEST_VOCABULARY`; or a special token is empty,
            double or a single byte's name.

    >>> learn_merges(["low lower lowest"], 260, 1)
    [('l', 'o'), ('lo', 'w'), ('Ġ', 'low')]
    """
    checks.refuse_text("texts", texts)
    vocabulary_size = checks.integer("vocabulary_size", vocabulary_size)
    minimum_frequency = checks.at_least("minimum_frequency", minimum_frequency, 0)
    _check(vocabulary_size, special_tokens)
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - 1 - len(special_tokens),
        min_frequency=min(minimum_frequency, LARGEST_FREQUENCY),
        initial_alphabet=sorted(byte_alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(map(_spelled, texts), trainer)
    return _merges_in_order(backend)


def _spelled(text: str) -> str:
    """The text as it is encoded: half a surrogate pair, which no UTF-8 can spell, is read as U+FFFD."""
    if not isinstance(text, str):
        raise checks.refusal("a member of texts", text, "a text")
    try:
        text.encode()
    except UnicodeEncodeError:
        return well_formed(text)
    return text


def _check(vocabulary_size: int, special_tokens: Sequence[str]) -> None:
    alphabet = byte_alphabet()
    for place, name in enumerate(special_tokens):
        if not name or name in alphabet or name == END_OF_TEXT or name in special_tokens[:place]:
            raise UsageError(
                f"special token '{name}' is double, empty or a single byte's name: give another name"
            )
    smallest = len(alphabet) + 1 + len(special_tokens)
    if vocabulary_size < smallest:
        others = f" and {len(special_tokens)} special tokens" if special_tokens else ""
        raise UsageError(
            f"a vocabulary of {vocabulary_size} is too small: 256 bytes and <|endoftext|>{others} need"
            f" {smallest}"
        )
    if vocabulary_size > LARGEST_VOCABULARY:
        raise UsageError(f"a vocabulary of {vocabulary_size} is too large: {LARGEST_VOCABULARY} is the most")


def _merges_in_order(backend: tokenizers.Tokenizer) -> list[tuple[str, str]]:
    pairs = json.loads(backend.to_str())["model"]["merges"]
    return [(left, right) for left, right in pairs]
