"""KerasHub's GPT-2 tokenizer, an object in memory: its vocabulary and merges."""

from __future__ import annotations

from typing import Any

from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.files import Contents
from kerasgpt.tokenizer.vocabulary import END_OF_TEXT


def read_object(source: Any) -> Contents:
    """Read a KerasHub ``GPT2Tokenizer``, or the one that a preprocessor or a model of KerasHub's holds.

    Only the vocabulary and the merges are taken: how a text is cut into words is GPT-2's own way here, which
    KerasHub's class departs from in places.

    Raises:
        UsageError: it is another thing, holds no vocabulary, or puts a space before each text.
    """
    preprocessor = getattr(source, "preprocessor", source)
    if preprocessor is None:
        raise UsageError(f"this {type(source).__name__} has no preprocessor, so no tokenizer: give one")
    found = getattr(preprocessor, "tokenizer", preprocessor)
    if "GPT2Tokenizer" not in {kind.__name__ for kind in type(found).__mro__}:
        raise UsageError(
            f"cannot read a tokenizer from a {type(found).__name__}: give a folder, a preset's name or a"
            f" KerasHub GPT2Tokenizer"
        )
    if not found.vocabulary or found.merges is None:
        raise UsageError("this GPT2Tokenizer has no vocabulary yet: load it from a preset first")
    if found.add_prefix_space:
        raise UsageError("this GPT2Tokenizer sets add_prefix_space, and GPT-2 adds none: make it without")
    # Of a file it keeps the heading too, which it passes over itself.
    pairs = (str(pair) for pair in found.merges if not str(pair).startswith("#version:"))
    merges = [(left, right) for left, _, right in (pair.partition(" ") for pair in pairs)]
    vocabulary = {str(piece): int(index) for piece, index in found.vocabulary.items()}
    return Contents(vocabulary, merges, [name for name in found.unsplittable_tokens if name != END_OF_TEXT])
