"""StepLanguageModel: text in, text out, for any engine that can read a prompt and then one more token."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from operator import index as as_int

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GenerationConfig
from kerasgpt.errors import UsageError
from kerasgpt.generation.decode import Token, decode, pad_right
from kerasgpt.generation.processors import log_softmax
from kerasgpt.generation.samplers import Seeds, greedy, seeds_of_rows
from kerasgpt.generation.stopping import StopStrings, fit_prompt
from kerasgpt.protocols import FinishReason, Generation, Logits, Prompt, Score, StepModel
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.streaming import StreamingDecoder

LOGITS_BUDGET = 2**26  # numbers in the largest (B, T, V) array asked of an engine: 256 MiB
LARGEST_BATCH = 64  # rows decoded together: more of them only make the cache grow


class PromptTruncatedWarning(UserWarning):
    """A prompt was longer than the context; only its end was read."""


class StepLanguageModel:
    """Generate, stream and score with a StepModel; see `kerasgpt.protocols.LanguageModel`.

    Args:
        model: the engine.
        tokenizer: whose ids the model was trained on.
        settings: used where a call gives none; None means greedy, 64 new tokens.

    Raises:
        UsageError: the tokenizer has ids that the model does not know.
    """

    def __init__(
        self, model: StepModel, tokenizer: Tokenizer, settings: GenerationConfig | None = None
    ) -> None:
        if tokenizer.vocabulary_size > model.vocabulary_size:
            raise UsageError(
                f"the tokenizer has {tokenizer.vocabulary_size} ids and the model {model.vocabulary_size}:"
                f" they do not belong together; give the tokenizer the model was trained with"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings or GenerationConfig()

    @property
    def max_sequence_length(self) -> int:
        """The context, in tokens."""
        return self.model.max_sequence_length

    def generate(
        self, prompts: Sequence[Prompt], settings: GenerationConfig | None = None
    ) -> list[Generation]:
        """Continue each prompt.

        Args:
            prompts: texts, or ids; an empty one starts from ``<|endoftext|>``. Of one that fills the
                context only the end is read, with a PromptTruncatedWarning.
            settings: of this request; None means those of the model.

        Returns:
            One Generation a prompt, in their order; the same alone or among others.

        Raises:
            UsageError: an id is not in the vocabulary, or `prompts` is one text and no list.
        """
        _refuse_text(prompts)
        chosen = settings or self.settings
        rows = [self._fitted(prompt, chosen) for prompt in prompts]
        seeds = seeds_of_rows(chosen.seed, len(rows))
        texts = [_Continuation(self.tokenizer, chosen) for _ in rows]
        for batch in self._batches([len(row) for row in rows]):
            members = [texts[number] for number in batch]
            for _ in self._write([rows[number] for number in batch], members, chosen, seeds[batch]):
                pass
        return [text.finish(len(row)) for text, row in zip(texts, rows, strict=True)]

    def stream(self, prompt: Prompt, settings: GenerationConfig | None = None) -> Iterator[str]:
        """Yield the continuation in pieces that split no character; joined, they are `generate`'s text.

        Text that may still turn out to be a stop string is held back until it is decided.

        Raises:
            UsageError: an id is not in the vocabulary.
        """
        chosen = settings or self.settings
        row = self._fitted(prompt, chosen)
        return self._stream(row, _Continuation(self.tokenizer, chosen), chosen)

    def _stream(self, row: list[int], text: _Continuation, settings: GenerationConfig) -> Iterator[str]:
        for _ in self._write([row], [text], settings, seeds_of_rows(settings.seed, 1)):
            yield from text.released()
        text.finish(len(row))
        yield from text.released()

    def _write(
        self, rows: list[list[int]], texts: list[_Continuation], settings: GenerationConfig, seeds: Seeds
    ) -> Iterator[None]:
        """Let the texts grow by one token a step."""
        for tokens in decode(
            self.model,
            rows,
            settings,
            self.tokenizer.end_of_text_id,
            row_seeds=seeds,
            ends_text=lambda row, index: texts[row].push(index),
        ):
            for token in tokens:
                texts[token.row].record(token)
            yield

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Prompt]) -> list[Score]:
        """Score each continuation after its prompt.

        Args:
            prompts: texts, or ids; an empty one is ``<|endoftext|>``. Where prompt and continuation do
                not fit into the context together, only the prompt's end is read, with a warning.
            continuations: texts, or ids; encoded apart from their prompts.

        Returns:
            One Score a pair, in their order.

        Raises:
            UsageError: the lists differ in length, an id is not in the vocabulary, or a continuation
                is longer than the context.
        """
        _refuse_text(prompts)
        _refuse_text(continuations)
        if len(prompts) != len(continuations):
            raise UsageError(
                f"{len(prompts)} prompts and {len(continuations)} continuations: give one of each a pair"
            )
        pairs = [self._pair(*pair) for pair in zip(prompts, continuations, strict=True)]
        scores = [Score(0.0, 0, True)] * len(pairs)
        # An empty continuation is certain; the last token of any other is scored, but never read.
        lengths_read = [len(prompt) + len(rest) - 1 if rest else 0 for prompt, rest in pairs]
        for batch in self._batches(lengths_read):
            rows = [[*pairs[number][0], *pairs[number][1]][:-1] for number in batch]
            ids, lengths = pad_right(rows)
            logits = self.model.all_logits(ids, lengths)
            for number, row in zip(batch, logits, strict=True):
                prompt, rest = pairs[number]
                first = len(prompt) - 1
                scores[number] = _score(row[first : first + len(rest)], rest)
        return scores

    def _ids(self, prompt: Prompt) -> list[int]:
        """The ids of a text, or ids checked."""
        if isinstance(prompt, str):
            return self.tokenizer.encode(prompt)
        ids = [as_int(index) for index in prompt]
        for index in ids:
            if not 0 <= index < self.model.vocabulary_size:
                raise UsageError(
                    f"the prompt holds id {index}: ids go from 0 to {self.model.vocabulary_size - 1}"
                )
        return ids

    def _fitted(self, prompt: Prompt, settings: GenerationConfig) -> list[int]:
        """The ids of a prompt that will be read: at least one, and with room for new ones."""
        ids = self._ids(prompt) or [self.tokenizer.end_of_text_id]
        kept = fit_prompt(len(ids), settings.max_new_tokens, self.max_sequence_length)
        return self._last(ids, kept)

    def _pair(self, prompt: Prompt, continuation: Prompt) -> tuple[list[int], list[int]]:
        rest = self._ids(continuation)
        if len(rest) > self.max_sequence_length:
            raise UsageError(
                f"a continuation has {len(rest)} tokens, more than the model's context of"
                f" {self.max_sequence_length}: score it in parts"
            )
        ids = self._ids(prompt) or [self.tokenizer.end_of_text_id]
        return self._last(ids, self.max_sequence_length - max(len(rest) - 1, 0)), rest

    def _last(self, ids: list[int], kept: int) -> list[int]:
        if kept < len(ids):
            warnings.warn(
                f"the prompt has {len(ids)} tokens and the model's context is"
                f" {self.max_sequence_length}: only its last {kept} are read",
                PromptTruncatedWarning,
                stacklevel=4,
            )
        return ids[-kept:] if kept < len(ids) else ids

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Group the rows that have tokens, the longest first, so that (B, T, V) stays within the budget."""
        rows = [number for number, length in enumerate(lengths) if length]
        rows.sort(key=lambda number: -lengths[number])
        while rows:
            per_row = lengths[rows[0]] * self.model.vocabulary_size
            size = min(max(LOGITS_BUDGET // per_row, 1), LARGEST_BATCH)
            yield rows[:size]
            rows = rows[size:]


class _Continuation:
    """The text of one row as it grows: decoded without splitting characters, cut at stop strings."""

    def __init__(self, tokenizer: Tokenizer, settings: GenerationConfig) -> None:
        self._decoder = StreamingDecoder(tokenizer, skip_special_tokens=settings.skip_special_tokens)
        self._stops = StopStrings(settings.stop)
        self._pieces: list[str] = []
        self._num_released = 0
        self._tokens: list[Token] = []

    def push(self, index: int) -> bool:
        """Take a token's text; whether a stop string is complete now."""
        self._pieces.append(self._stops.push(self._decoder.push(index)))
        return self._stops.found

    def record(self, token: Token) -> None:
        """Take a token's id, probability and reason to finish."""
        self._tokens.append(token)

    def released(self) -> Iterator[str]:
        """Pieces not given out before, none of them empty."""
        pieces = self._pieces[self._num_released :]
        self._num_released = len(self._pieces)
        return filter(None, pieces)

    def finish(self, num_prompt_tokens: int) -> Generation:
        """Let out what was held back, and say what was written."""
        self._pieces.append(self._stops.push(self._decoder.flush()))
        self._pieces.append(self._stops.flush())
        written = self._tokens[-1].finish_reason if self._tokens else None
        reason: FinishReason = "stop" if self._stops.found else written or "length"
        return Generation(
            text="".join(self._pieces),
            token_ids=[token.id for token in self._tokens],
            num_prompt_tokens=num_prompt_tokens,
            finish_reason=reason,
            logprobs=[token.logprob for token in self._tokens],
        )


def _refuse_text(prompts: Sequence[Prompt]) -> None:
    # A text is a sequence too: of its characters, each a prompt, which nobody means.
    if isinstance(prompts, str):
        raise UsageError(f"a list of prompts is needed, and this is one text: write [{prompts[:20]!r}]")


def _score(logits: Logits, ids: Sequence[int]) -> Score:
    """Score tokens (T,) under the logits (T, V) that precede each."""
    targets: NDArray[np.int64] = np.array(ids, np.int64)
    chosen = np.take_along_axis(log_softmax(logits), targets[:, None], axis=1)
    is_greedy = bool(np.array_equal(greedy(logits), targets))
    return Score(float(chosen.sum(dtype=np.float64)), len(ids), is_greedy)
