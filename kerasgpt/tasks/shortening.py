"""Texts made shorter until they fit: the nearest sentences of a context, the beginning of anything."""

from __future__ import annotations

import re
from collections.abc import Callable

_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def sentences(text: str) -> list[str]:
    """Divide a text behind full stops, exclamation and question marks that white space follows.

    >>> sentences("It rained. He left!  Why?")
    ['It rained.', 'He left!', 'Why?']
    """
    return [part for part in _SENTENCE_END.split(text.strip()) if part]


def by_shared_words(context: str, question: str) -> list[int]:
    """Numbers of a context's sentences, those that share most words with a question first.

    >>> by_shared_words("Cats sleep. Dogs bark at night. Birds sing.", "When do dogs bark?")
    [1, 0, 2]
    """
    asked = set(_WORD.findall(question.lower()))
    shared = [len(asked & set(_WORD.findall(one.lower()))) for one in sentences(context)]
    return sorted(range(len(shared)), key=lambda number: -shared[number])


def nearest_sentences(context: str, question: str, fits: Callable[[str], bool]) -> str:
    """As many sentences of a context as fit, those nearest to a question, in the order of the context.

    Args:
        context: to shorten.
        question: that is asked about it.
        fits: whether a text is short enough.

    Returns:
        What fits; if not even the nearest sentence does, that sentence.
    """
    parts = sentences(context)
    kept: list[int] = []
    for number in by_shared_words(context, question):
        wider = sorted([*kept, number])
        if not fits(" ".join(parts[each] for each in wider)):
            return " ".join(parts[each] for each in kept) or parts[number]
        kept = wider
    # All of them do, though perhaps not with the white space between them.
    return context if fits(context) else " ".join(parts)


def cut_to(text: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of a text that fits and ends with a whole word; of one long word, a part.

    >>> cut_to("one two three", lambda text: len(text) < 10), cut_to("onetwo", lambda text: len(text) < 5)
    ('one two', 'onet')
    """
    if fits(text):
        return text
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    if not ends or not fits(text[: ends[0]]):
        ends = list(range(1, len(text)))
    low, high = 0, len(ends)  # ends[:low] fit, ends[high:] do not
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if fits(text[: ends[middle]]) else (low, middle)
    return text[: ends[low - 1]] if low else ""
