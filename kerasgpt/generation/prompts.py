"""A prompt, text or ids, as the ids that a model reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from kerasgpt import checks
from kerasgpt.errors import UsageError
from kerasgpt.generation.stopping import fit_prompt
from kerasgpt.protocols import Prompt
from kerasgpt.tokenizer.bpe import Tokenizer


class PromptTruncatedWarning(UserWarning):
    """A prompt was longer than the context; only its end was read."""


class PromptReader:
    """Encodes and checks prompts, and cuts off what does not fit.

    Args:
        tokenizer: whose ids the model was trained on.
        vocabulary_size: V of the model.
        max_sequence_length: its context, in tokens.

    Raises:
        UsageError: the tokenizer has ids that the model does not know.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary_size: int, max_sequence_length: int) -> None:
        if tokenizer.vocabulary_size > vocabulary_size:
            raise UsageError(
                f"the tokenizer has {tokenizer.vocabulary_size} ids and the model {vocabulary_size}:"
                f" they do not belong together; give the tokenizer the model was trained with"
            )
        self.tokenizer = tokenizer
        self.vocabulary_size = vocabulary_size
        self.max_sequence_length = max_sequence_length

    def ids(self, prompt: Prompt) -> list[int]:
        """The ids of a text, or ids checked.

        Raises:
            UsageError: one is not in the vocabulary, or it is neither a text nor ids.
        """
        if isinstance(prompt, str):
            return self.tokenizer.encode(prompt)
        # The members of bytes are integers too, but nobody means them as ids.
        ids = list(checks.ids("the prompt", prompt, "a text (str) or a sequence of token ids"))
        self.check(ids, "the prompt")
        return ids

    def check(self, ids: Iterable[int], where: str) -> None:
        """Refuse ids that are not in the vocabulary."""
        for index in ids:
            if not 0 <= index < self.vocabulary_size:
                raise UsageError(f"{where} holds id {index}: ids go from 0 to {self.vocabulary_size - 1}")

    def fitted(self, prompt: Prompt, max_new_tokens: int) -> list[int]:
        """The ids of a prompt to be continued: at least one, and with room for new ones."""
        ids = self.ids(prompt) or [self.tokenizer.end_of_text_id]
        return self._end(ids, fit_prompt(len(ids), max_new_tokens, self.max_sequence_length))

    def pair(self, prompt: Prompt, continuation: Prompt) -> tuple[list[int], list[int]]:
        """The ids of a prompt, at least one, and of a continuation to be scored after it."""
        rest = self.ids(continuation)
        if len(rest) > self.max_sequence_length:
            raise UsageError(
                f"a continuation has {len(rest)} tokens, more than the model's context of"
                f" {self.max_sequence_length}: score it in parts"
            )
        ids = self.ids(prompt) or [self.tokenizer.end_of_text_id]
        return self._end(ids, self.max_sequence_length - max(len(rest) - 1, 0)), rest

    def _end(self, ids: list[int], kept: int) -> list[int]:
        if kept < len(ids):
            warnings.warn(
                f"the prompt has {len(ids)} tokens and the model's context is"
                f" {self.max_sequence_length}: only its last {kept} are read",
                PromptTruncatedWarning,
                stacklevel=6,  # who called the language model
            )
        return ids[-kept:] if kept < len(ids) else ids
