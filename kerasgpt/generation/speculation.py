"""One text at more than one token a step: its own words foretell the next, and the model checks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from kerasgpt.generation.prefill import Prefill
from kerasgpt.generation.rows import EndsText, Row, Token, Writer
from kerasgpt.generation.samplers import Seeds
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import ExtendableStepModel

LONGEST_NGRAM: Final = 4  # tokens that a place earlier in the text shares with the text's end
SHORTEST_NGRAM: Final = 2
LONGEST_PAUSE: Final = 64  # steps without a draft, after drafts that nothing was accepted of


class PromptLookup:
    """Finds where a text's last tokens stood before, and proposes what followed them there.

    Of the places, the longest match counts, and among equally long ones the latest; a place near the end is
    copied round and round.

    Args:
        ids: of the text so far.

    >>> lookup = PromptLookup([1, 2, 3, 4, 9, 1, 2])
    >>> lookup.propose(3), lookup.propose(7)
    ([3, 4, 9], [3, 4, 9, 1, 2, 3, 4])
    """

    def __init__(self, ids: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}  # of each sequence's latest place
        self._place = 0  # after the earlier place of the text's end; 0 means there is none
        for index in ids:
            self.push(index)

    def push(self, index: int) -> None:
        """Let the text grow by a token."""
        self._ids.append(index)
        self._place = 0
        end = len(self._ids)
        for size in range(LONGEST_NGRAM, SHORTEST_NGRAM - 1, -1):
            if size <= end:
                ngram = tuple(self._ids[-size:])
                self._place = self._place or self._ends.get(ngram, 0)
                self._ends[ngram] = end

    def propose(self, num_tokens: int) -> list[int]:
        """What may come next: so many tokens, or none."""
        if not self._place:
            return []
        followers = self._ids[self._place :]
        return [followers[number % len(followers)] for number in range(num_tokens)]


class Pace:
    """How long the next draft is to be: longer after success, and rarer after failure.

    Lengths are 2^n - 1, so that a step, which reads one token more, has an even number of them: ONNX
    Runtime's kernels for 8 and 4 bits answer alike for all of these.

    Args:
        longest: draft.

    >>> pace = Pace(10)
    >>> pace.record(7, 7), pace.next()
    (None, 7)
    """

    def __init__(self, longest: int) -> None:
        self._longest = max((1 << (longest + 1).bit_length() - 1) - 1, 1)
        self._length = min(3, self._longest)
        self._pause = self._wait = 0

    def next(self) -> int:
        """The length of a draft now, 0 for none."""
        if self._wait:
            self._wait -= 1
            return 0
        return self._length

    def record(self, num_drafted: int, num_accepted: int) -> None:
        """Learn from a draft, how much of it the model would have written too."""
        if not num_drafted:
            return
        if num_accepted == num_drafted:
            self._length = min(2 * self._length + 1, self._longest)
        else:
            self._length = max(self._length // 2, 1) if 2 * num_accepted < num_drafted else self._length
        self._pause = 0 if num_accepted else min(2 * self._pause + 1, LONGEST_PAUSE)
        self._wait = self._pause


def speculate(
    model: ExtendableStepModel,
    prompt: Sequence[int],
    settings: GenerationConfig,
    end_of_text_id: int,
    *,
    row_seeds: Seeds,
    ends_text: EndsText | None = None,
    prefill: Prefill | None = None,
) -> Iterator[list[Token]]:
    """Continue one prompt as `decode` does, reading drafts of several tokens in one step.

    Each token is chosen from the model's own logits by the request's settings, so a draft changes only when
    they are computed, never what is asked of them (Leviathan et al. 2023, arXiv:2211.17192; drafts by prompt
    lookup, as in Hugging Face's ``prompt_lookup_num_tokens``). Where a step of several tokens gives the
    logits of single steps, as float32 does up to rounding, the text is `decode`'s. Kernels that round
    their input to integers give others for one token than for several, within their own error: there the
    text may differ, and is the same in every run.

    Args:
        model: an engine that extends and rewinds.
        prompt: ids, at least one and fewer than the model's context.
        settings: `prompt_lookup_num_tokens` is the longest draft, rounded down to 1, 3, 7, ...
        end_of_text_id: the token that ends the text.
        row_seeds: uint64 (1,) of the sampling.
        ends_text: asked after each token about stop strings.
        prefill: which reads the prompt; None means one that remembers nothing.

    Yields:
        A list of one token.
    """
    row = Row(0, prompt, settings, int(row_seeds[0]), model.max_sequence_length)
    if not row.limit:
        return
    writer = Writer([row], end_of_text_id, ends_text)
    lookup, pace = PromptLookup(prompt), Pace(settings.prompt_lookup_num_tokens)
    draft: list[int] = []
    state, logits = (prefill or Prefill(model)).read([prompt])
    following = logits[:, None]  # (1, T, V)
    while True:
        for num_accepted in range(len(draft) + 1):
            tokens, going = writer.write(following[:, num_accepted])
            yield tokens
            if not going:
                return
            lookup.push(row.newest)
            if num_accepted == len(draft) or row.newest != draft[num_accepted]:
                break
        pace.record(len(draft), num_accepted)
        state = model.rewind(state, len(draft) - num_accepted)
        length = pace.next()
        draft = lookup.propose(length) if length < row.limit - row.num_written else []
        state, following = model.extend(state, np.array([[row.newest, *draft]], np.int64))
