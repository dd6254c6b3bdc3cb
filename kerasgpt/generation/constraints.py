"""logits -> logits by what must not come next: forbidden tokens get minus infinity.

Each function takes the float32 logits (V,) of one row, gives new ones and changes nothing in place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasgpt.generation.filters import REMOVED
from kerasgpt.protocols import Ids, Logits


def forbid(logits: Logits, tokens: Sequence[int] | Ids) -> Logits:
    """Remove tokens."""
    left = logits.copy()
    left[np.asarray(tokens, np.int64)] = REMOVED
    return left


def allow(logits: Logits, tokens: Sequence[int]) -> Logits:
    """Remove all but these tokens."""
    left = np.full_like(logits, REMOVED)
    left[list(tokens)] = logits[list(tokens)]
    return left


def forbid_repeated_ngrams(logits: Logits, text: Ids, size: int) -> Logits:
    """Remove tokens that would make the last `size` tokens occur a second time in the text.

    Args:
        logits: float32 (V,).
        text: int64 (S,), prompt and continuation.
        size: at least 1, which lets no token come twice.
    """
    if len(text) < size:
        return logits
    ngrams = np.lib.stride_tricks.sliding_window_view(text, size)  # (S - size + 1, size)
    begins_as_now = (ngrams[:, :-1] == text[len(text) - size + 1 :]).all(axis=1)
    return forbid(logits, ngrams[begins_as_now, -1])


def forbid_words(logits: Logits, text: Ids, words: Sequence[Sequence[int]]) -> Logits:
    """Remove the last token of each word whose other tokens end the text.

    Transformers passes over a word as long as the whole text and one token more; here it is forbidden too.

    Args:
        logits: float32 (V,).
        text: int64 (S,), prompt and continuation.
        words: sequences of at least one id.
    """
    given = text.tolist()
    ends = [word[-1] for word in words if given[len(given) - len(word) + 1 :] == list(word[:-1])]
    return forbid(logits, ends)
