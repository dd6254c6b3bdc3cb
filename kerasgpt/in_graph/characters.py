"""The kind of every Unicode character, as GPT-2's pattern tells them apart, in tables for a graph."""

from __future__ import annotations

import functools

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import normalizers

# Kinds of characters that GPT-2's pattern tells apart; END stands after each text.
LETTER, NUMBER, SPACE, OTHER, END = range(5)

END_CHARACTER = 0x110000  # one beyond the last code point
_PAGE = 256  # code points a page


@functools.cache
def character_kinds() -> NDArray[np.int32]:
    """Tell the kind of every code point, as the regular expressions of `tokenizers` see it.

    Asking them keeps the two equal whichever Unicode version each was built with; Python's own
    `unicodedata` is years older and differs in thousands of letters.

    Returns:
        int32 (0x110000,); of surrogates, which no UTF-8 text can hold, OTHER.
    """
    points = np.array([*range(0xD800), *range(0xE000, END_CHARACTER)], "<u4")
    everything = points.tobytes().decode("utf-32-le")
    kinds = np.full(END_CHARACTER, OTHER, np.int32)
    for kind, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
        others = normalizers.Replace(tokenizers.Regex(pattern), "").normalize_str(everything)
        kinds[np.setdiff1d(points, _code_points(others), assume_unique=True)] = kind
    return kinds


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


@functools.cache
def kind_pages() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Store the kinds in some hundred kilobytes: pages of 256 code points, equal ones once.

    Returns:
        Where the page of each ``code point // 256`` begins, int32 (0x1101,); and the pages one after the
        other, int32. The page after the last code point's says END.
    """
    kinds = np.append(character_kinds(), np.full(_PAGE, END, np.int32)).reshape(-1, _PAGE)
    pages, place = np.unique(kinds, axis=0, return_inverse=True)
    return (place.reshape(-1) * _PAGE).astype(np.int32), pages.reshape(-1).astype(np.int32)
