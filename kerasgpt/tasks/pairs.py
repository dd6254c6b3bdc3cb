"""Pair: a text and what may follow it, as the ids of both read as one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kerasgpt.errors import KerasGPTError
from kerasgpt.protocols import LanguageModel, Score


@dataclass(frozen=True)
class Pair:
    """What is scored.

    Attributes:
        prompt: ids that are read.
        rest: ids that are scored after them.
        is_truncated: whether the prompt's beginning did not fit and was left out.
    """

    prompt: list[int]
    rest: list[int]
    is_truncated: bool = False


def encode_pair(lm: LanguageModel, prompt: str, rest: str, place: str) -> Pair:
    """Encode two texts as one, and divide the ids where the first one's end.

    Blanks at the prompt's end are read as part of the rest, since that is where a vocabulary has them. An
    empty prompt is ``<|endoftext|>``. EleutherAI's lm-evaluation-harness does the same, with the same scores.
    Where all of the rest would become part of the prompt's last token, and nothing were left to score, its
    own models fail; here the two are then encoded apart, as `LanguageModel.score` has them.

    Args:
        lm: whose tokenizer and context to use.
        prompt: before.
        rest: after; not empty.
        place: to name in the error.

    Raises:
        KerasGPTError: what is to be scored is longer than the context.
    """
    stripped = prompt.rstrip()
    before = lm.tokenizer.encode(stripped)
    joined = lm.tokenizer.encode(prompt + rest)
    after = joined[len(before) :] or lm.tokenizer.encode(prompt[len(stripped) :] + rest)
    return fit(before or [lm.tokenizer.end_of_text_id], after, lm.max_sequence_length, place)


def fit(before: Sequence[int], after: Sequence[int], context: int, place: str) -> Pair:
    """Leave out the beginning of what is read where both do not fit into the context.

    Raises:
        KerasGPTError: what is to be scored is longer than the context.
    """
    if len(after) > context:
        raise KerasGPTError(
            f"{place}: has {len(after)} tokens to score, and the model's context is {context}: leave it out,"
            " or take a model with a longer context"
        )
    room = context - max(len(after) - 1, 0)  # the last token is scored, and never read
    return Pair(list(before[-room:]), list(after), len(before) > room)


def score_pairs(lm: LanguageModel, pairs: Sequence[Pair]) -> list[Score]:
    """Score them all, in their order."""
    return lm.score([pair.prompt for pair in pairs], [pair.rest for pair in pairs])
