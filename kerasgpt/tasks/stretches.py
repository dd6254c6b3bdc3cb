"""Stretch: tokens of a text that are scored together, and what a window reads before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.files.documents import Document


@dataclass(frozen=True, eq=False)
class Part:
    """A step of the window: int32 ids that are read before, and those that are scored."""

    before: NDArray[np.int32]
    scored: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Stretch:
    """What one example of language modelling is.

    Attributes:
        parts: steps of the window.
        place: where the text was read, and the step.
        counts: ``bytes``, ``characters``, ``words`` and ``line_ends`` that the scored tokens stand for; of a
            step of a longer text, its share by tokens, so that the steps have exactly what the text has.
    """

    parts: tuple[Part, ...]
    place: str
    counts: Mapping[str, float]

    @property
    def num_tokens(self) -> int:
        """Tokens that are scored."""
        return sum(len(part.scored) for part in self.parts)


def stretches(
    document: Document, lm: LanguageModel, window: int, stride: int, *, whole: bool = False
) -> list[Stretch]:
    """Divide a document into steps of a window, each a stretch of its own or all of them one.

    Args:
        document: with a text.
        lm: whose tokenizer to use.
        window: tokens read at once.
        stride: tokens scored a step.
        whole: whether they are one stretch.
    """
    ids = np.array([lm.tokenizer.end_of_text_id, *lm.tokenizer.encode(document.text)], np.int32)
    parts = [Part(before, scored) for before, scored in split(ids, window, stride)]
    groups = [tuple(parts)] if whole else [(part,) for part in parts]
    ends = np.cumsum([sum(len(part.scored) for part in group) for group in groups])
    shares = {
        name: np.diff(total * ends // ends[-1], prepend=0).tolist()
        for name, total in _sizes(document).items()
    }
    return [
        Stretch(
            group,
            document.place if whole else f"{document.place}, step {number + 1}",
            {name: share[number] for name, share in shares.items()},
        )
        for number, group in enumerate(groups)
    ]


def split(ids: Any, window: int, stride: int) -> Iterator[tuple[Any, Any]]:
    """Cut ids into (what is read before, what is scored): all but the first are scored, each once.

    The first part scores a whole window, since nothing before it is left out; the model reads every
    token of a part but the last, `window` at most. With ``stride == window`` these are the windows of
    EleutherAI's lm-evaluation-harness.

    >>> list(split([0, 1, 2, 3, 4, 5, 6], window=4, stride=2))
    [([0], [1, 2, 3, 4]), ([2, 3, 4], [5, 6])]
    """
    begin, end = 1, min(1 + window, len(ids))
    while begin < len(ids):
        yield ids[max(end - 1 - window, 0) : begin], ids[begin:end]
        begin, end = end, min(end + stride, len(ids))


def _sizes(document: Document) -> dict[str, int]:
    return {
        "bytes": len(document.text.encode("utf-8")),
        "characters": len(document.text),
        "words": document.num_words,
        "line_ends": document.num_line_ends,
    }
