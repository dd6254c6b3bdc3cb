"""The two engines that encode ordinary text, with the same ids: `tokenizers`, and tiktoken for long texts."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import tokenizers

from kerasgpt.tokenizer.vocabulary import byte_alphabet, piece_bytes, well_formed

if TYPE_CHECKING:
    import tiktoken

# GPT-2's pattern as tiktoken has it: the same words, found with less backtracking.
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"

_SHARE = 50_000  # characters that are worth the start of a thread
_LONGEST_BLANK = 50_000  # characters; tiktoken's stack overflows at some hundred thousand


class TiktokenEncoder:
    """Encodes by tiktoken; made by `tiktoken_encoder` where that is right.

    Args:
        encoding: tiktoken's own.
        ids: the id of each rank, or None where they are equal.
    """

    def __init__(self, encoding: tiktoken.Encoding, ids: Sequence[int] | None) -> None:
        self._encoding = encoding
        self._ids = ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode texts, in several threads if there is enough to do; tiktoken sets Python's lock free."""
        shares = list(_shares(texts))
        if len(shares) < 2:
            return self._encode_share(texts)
        with ThreadPoolExecutor(min(os.cpu_count() or 1, len(shares))) as pool:
            return list(chain.from_iterable(pool.map(self._encode_share, shares)))

    def _encode_share(self, texts: Sequence[str]) -> list[list[int]]:
        rows = [self._encoding.encode_ordinary(text) for text in texts]
        return rows if self._ids is None else [[self._ids[rank] for rank in row] for row in rows]


def tiktoken_encoder(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    special_tokens: Collection[str],
    merger: tokenizers.Tokenizer,
) -> TiktokenEncoder | None:
    """Make an encoder by tiktoken if its ids are sure to be those of `tokenizers`.

    tiktoken joins two neighbours whenever their bytes together are a piece, the piece of least rank first.
    `tokenizers` joins them if they are a merge, the first merge first. The two agree if all 256 bytes are
    there, each merge makes a piece that no other makes, and each piece's own bytes alone end up as it. For
    say both have agreed so far, and tiktoken now joins x and y to the piece t. Nothing has crossed
    the ends of these bytes, so they were merged as they would have been alone, and alone they would stand
    as x, y too. From there the next step must make t, by its one merge, so that merge is (x, y).

    Args:
        vocabulary: piece -> id, in the printable byte alphabet.
        merges: the first to be merged first.
        special_tokens: which must not be made by merges.
        merger: the same merges as a tokenizer that does not cut texts into words.

    Returns:
        The encoder, or None for a vocabulary that only `tokenizers` encodes rightly.
    """
    made = [left + right for left, right in merges]
    pieces = [*byte_alphabet(), *made]
    in_alphabet = byte_alphabet().keys() >= set(chain.from_iterable(made))
    if not in_alphabet or len(set(pieces)) < len(pieces):
        return None
    if not vocabulary.keys() - set(special_tokens) >= set(pieces):
        return None
    ids = [vocabulary[piece] for piece in pieces]
    alone = merger.encode_batch_fast(made, add_special_tokens=False)
    if any(encoding.ids != [index] for encoding, index in zip(alone, ids[256:], strict=True)):
        return None
    in_order = all(first < second for first, second in pairwise(ids[256:]))
    ranks = ids if in_order else range(len(pieces))
    return TiktokenEncoder(
        _encoding(dict(zip(map(piece_bytes, pieces), ranks, strict=True))), None if in_order else ids
    )


def library_encode_batch(backend: tokenizers.Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Encode texts by `tokenizers`, on all cores; half a surrogate pair is read as U+FFFD."""
    try:
        encodings = backend.encode_batch_fast(list(texts), add_special_tokens=False)
    except TypeError:  # of a text that no UTF-8 can spell
        mended = [well_formed(text) for text in texts]
        encodings = backend.encode_batch_fast(mended, add_special_tokens=False)
    return [encoding.ids for encoding in encodings]


def has_long_blank(text: str) -> bool:
    """Whether white space runs on for so long that tiktoken may fail on it."""
    blocks = range(0, len(text) - _LONGEST_BLANK + 1, _LONGEST_BLANK)
    return any(text[start].isspace() and text[start : start + _LONGEST_BLANK].isspace() for start in blocks)


def _encoding(ranks: dict[bytes, int]) -> tiktoken.Encoding:
    import tiktoken  # here, since it takes as long to start as a short text to encode without it

    return tiktoken.Encoding("kerasgpt", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


def _shares(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Divide texts into runs of about `_SHARE` characters."""
    first, num_characters = 0, 0
    for place, text in enumerate(texts, start=1):
        num_characters += len(text)
        if num_characters >= _SHARE or place == len(texts):
            yield texts[first:place]
            first, num_characters = place, 0
