"""bytes -> ids, be they text or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tokenizers
from tokenizers import pre_tokenizers

from kerasgpt.tokenizer.vocabulary import byte_alphabet, piece_bytes

_PRINTABLE = {byte: character for character, byte in byte_alphabet().items()}
_WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def encode_bytes(
    data: bytes,
    encode: Callable[[str], list[int]],
    merger: tokenizers.Tokenizer,
    pieces: Sequence[bytes],
) -> list[int]:
    """Encode UTF-8 as its text, and anything else as tiktoken does.

    Args:
        data: any bytes; from the word that the first malformed one follows, all is one word.
        encode: text -> ids.
        merger: merges a text in the printable alphabet as one word.
        pieces: the bytes of each id.
    """
    try:
        return encode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        text, malformed = data[: error.start].decode("utf-8"), data[error.start :]
    ids = encode(text)
    first = len(ids) - _num_ids_of_last_word(text, ids, merger, pieces)
    word = b"".join([pieces[index] for index in ids[first:]]) + malformed
    return ids[:first] + _merge(word, merger)


def _merge(word: bytes, merger: tokenizers.Tokenizer) -> list[int]:
    """Merge bytes without cutting them into words."""
    printable = "".join([_PRINTABLE[byte] for byte in word])
    ids: list[int] = merger.encode(printable, add_special_tokens=False).ids
    return ids


def _num_ids_of_last_word(
    text: str, ids: Sequence[int], merger: tokenizers.Tokenizer, pieces: Sequence[bytes]
) -> int:
    """How many ids at the end may change with what follows the text, as tiktoken reckons it."""
    words = _WORDS.pre_tokenize_str(text)
    count = len(_merge(piece_bytes(words[-1][0]), merger)) if words else 0
    if count and _is_blank(pieces[ids[-count]]):
        while count < len(ids) and _is_blank(pieces[ids[-count - 1]]):
            count += 1
    return count


def _is_blank(piece: bytes) -> bool:
    return not piece.strip(b" \n\t")
