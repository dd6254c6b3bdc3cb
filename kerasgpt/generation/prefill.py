"""Prompts -> the state after them; what they share with each other or with earlier ones is read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from kerasgpt.generation.prefix_cache import (
    BLOCK_TOKENS,
    SHORTEST_PREFIX,
    PrefixCache,
    num_shared,
    whole_blocks,
)
from kerasgpt.generation.texts import pad_right
from kerasgpt.protocols import ExtendableStepModel, Ids, Logits, StepModel


@dataclass(frozen=True)
class _Stem:
    """The beginning of a prompt, already read: so many tokens, and the state after them."""

    num_tokens: int = 0
    state: Any = None


class Prefill:
    """Reads prompts with an engine.

    Equal prompts are read once. On an engine that extends, so is what several prompts of one call begin
    with, and, given a cache, what prompts of earlier calls began with. May be used from several threads.

    Args:
        model: any engine.
        cache: of beginnings; None means that nothing is remembered from one call to the next.
    """

    def __init__(self, model: StepModel, cache: PrefixCache | None = None) -> None:
        self._model = model
        self._extendable = model if isinstance(model, ExtendableStepModel) else None
        self._cache = cache if self._extendable else None

    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Logits]:
        """Read prompts of at least one token: the state of all, and the logits (B, V) that follow."""
        numbers: dict[tuple[int, ...], int] = {}
        rows = np.array([numbers.setdefault(tuple(prompt), len(numbers)) for prompt in prompts], np.int64)
        state, logits = self._read_different(list(numbers))
        if len(numbers) == len(prompts):
            return state, logits
        return self._model.reorder(state, rows), logits[rows]

    def pieces(self, prompt: Sequence[int], num_tokens: int) -> Iterator[tuple[Any, Logits] | None]:
        """Read one prompt piece by piece.

        Args:
            prompt: ids, at least one.
            num_tokens: of a piece, rounded down to blocks of the prefix cache; an engine that does not
                extend reads all at once.

        Yields:
            None while there is more to read; at last the state and the logits (1, V).
        """
        model = self._extendable
        if model is None or len(prompt) <= num_tokens:
            yield self.read([prompt])
            return
        stem = self._remembered(prompt)
        known, state = stem.num_tokens, stem.state
        while known < len(prompt):
            end = min(known + max(whole_blocks(num_tokens), BLOCK_TOKENS), len(prompt))
            state, logits = self._read_on(prompt[:end], _Stem(known, state))
            known = end
            if known < len(prompt):
                yield None
        self._remember(state, 0, prompt, stem)
        yield state, logits

    def _read_different(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Logits]:
        stems = self._stems(prompts)
        if any(stem.num_tokens for stem in stems):
            parts = [self._read_on(*each) for each in zip(prompts, stems, strict=True)]
            state = self._model.join([own for own, _ in parts]) if len(parts) > 1 else parts[0][0]
            logits = np.concatenate([own for _, own in parts])
        else:
            state, logits = self._model.prefill(*pad_right(prompts))
        for row, (prompt, stem) in enumerate(zip(prompts, stems, strict=True)):
            self._remember(state, row, prompt, stem)
        return state, logits

    def _stems(self, prompts: Sequence[Sequence[int]]) -> list[_Stem]:
        """What is known of each prompt: from earlier ones, and from reading now what several share."""
        stems = [self._remembered(prompt) for prompt in prompts]
        if self._extendable is None:
            return stems
        for members, length in shared_beginnings([np.asarray(prompt, np.int64) for prompt in prompts]):
            known = min((stems[member] for member in members), key=lambda stem: stem.num_tokens)
            if length - known.num_tokens >= SHORTEST_PREFIX:
                shared = prompts[members[0]][:length]
                state, _ = self._read_on(shared, self._remembered(shared))
                stem = _Stem(length, self._extendable.snapshot(state, 0, length))
                for member in members:
                    stems[member] = max(stems[member], stem, key=lambda stem: stem.num_tokens)
        return stems

    def _read_on(self, prompt: Sequence[int], stem: _Stem) -> tuple[Any, Logits]:
        """Read one prompt from where it is known on."""
        if self._extendable is None or not stem.num_tokens:
            return self._model.prefill(*pad_right([prompt]))
        rest = np.array([prompt[stem.num_tokens :]], np.int64)
        state, logits = self._extendable.extend(stem.state, rest, 1)
        return state, logits[:, 0]

    def _remembered(self, prompt: Sequence[int]) -> _Stem:
        if self._cache is None or self._extendable is None:
            return _Stem()
        num_tokens, state, length = self._cache.longest(prompt)
        if state is None:
            return _Stem()
        return _Stem(num_tokens, self._extendable.rewind(state, length - num_tokens))

    def _remember(self, state: Any, row: int, prompt: Sequence[int], stem: _Stem) -> None:
        """Keep a copy of a row, if enough of it is new."""
        length = whole_blocks(len(prompt))
        if self._cache is None or self._extendable is None or not self._cache.has_room(length):
            return
        if length - stem.num_tokens >= SHORTEST_PREFIX:
            self._cache.store(prompt, self._extendable.snapshot(state, row, length))


def shared_beginnings(prompts: Sequence[Ids]) -> list[tuple[list[int], int]]:
    """Groups of prompts that begin alike for at least `SHORTEST_PREFIX` tokens.

    Of all ways to part the prompts the one that leaves the fewest tokens to read: a prompt that shares
    little with others does not shorten what they share.

    Args:
        prompts: int64 ids, all different.

    Returns:
        The members of each group, two at least, and how many tokens they share: whole blocks, and fewer
        than any of them has.
    """
    # In this order what several prompts share is the least that any two neighbours of them do.
    order = sorted(range(len(prompts)), key=lambda number: prompts[number].tolist())
    shared = [_shared(prompts[first], prompts[second]) for first, second in pairwise(order)]
    best: list[tuple[int, int, int]] = []  # up to each place: tokens saved, the last group's start and length
    for place in range(len(order)):
        best.append((best[place - 1][0] if place else 0, place, 0))  # in no group
        length = len(prompts[order[place]])
        for start in range(place - 1, -1, -1):
            length = min(length, shared[start])
            if length < SHORTEST_PREFIX:
                break
            saved = (best[start - 1][0] if start else 0) + (place - start) * length
            best[place] = max(best[place], (saved, start, length))
    groups: list[tuple[list[int], int]] = []
    place = len(order) - 1
    while place >= 0:
        _, start, length = best[place]
        if length:
            groups.insert(0, (order[start : place + 1], length))
        place = start - 1
    return groups


def _shared(first: Ids, second: Ids) -> int:
    """The whole blocks that two prompts begin with in common, and that leave each a token to read."""
    return whole_blocks(min(num_shared(first, second), len(first) - 1, len(second) - 1))
