"""How much of a prompt fits, and the stop strings that end a text."""

from __future__ import annotations

from collections.abc import Sequence


def fit_prompt(num_tokens: int, max_new_tokens: int, context: int) -> int:
    """How many tokens of a prompt to keep (its last ones), so that there is room to write.

    A prompt shorter than the context is kept whole. A longer one leaves room for all new tokens, but
    never more than half of the context.

    Args:
        num_tokens: of the prompt.
        max_new_tokens: wanted after it.
        context: the most tokens that prompt and continuation may have together.

    >>> fit_prompt(10, 64, 100), fit_prompt(200, 10, 100), fit_prompt(200, 90, 100)
    (10, 90, 50)
    """
    if num_tokens < context:
        return num_tokens
    return max(context - max_new_tokens, context // 2, 1)


def room(num_prompt_tokens: int, max_new_tokens: int, context: int) -> int:
    """How many tokens may be written after a prompt; where any are wanted at least one.

    >>> room(10, 64, 100), room(90, 64, 100), room(100, 64, 100)
    (64, 10, 1)
    """
    return min(max_new_tokens, max(context - num_prompt_tokens, 1))


class StopStrings:
    """Let text through up to the first stop string, holding back what might still begin one.

    Args:
        stop: strings that end the text, none of them empty.

    >>> stops = StopStrings(["END"])
    >>> [stops.push(piece) for piece in ["a E", "N", "t E", "ND b"]]
    ['a ', '', 'ENt ', '']
    >>> stops.found
    True
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._held = ""
        self.found = False

    def push(self, piece: str) -> str:
        """Take the next piece of text, give the part that is certainly before any stop string."""
        if self.found:
            return ""
        text = self._held + piece
        starts = [text.find(stop) for stop in self._stop if stop in text]
        self.found = bool(starts)
        cut = min(starts) if starts else len(text) - self._num_held(text)
        self._held = "" if self.found else text[cut:]
        return text[:cut]

    def flush(self) -> str:
        """End the text: what was held back turned out to be ordinary text."""
        held, self._held = self._held, ""
        return held

    def _num_held(self, text: str) -> int:
        """Length of the longest end of `text` that is the beginning of a stop string."""
        longest = max((len(stop) - 1 for stop in self._stop), default=0)
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stop):
                return length
        return 0
