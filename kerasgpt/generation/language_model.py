"""StepLanguageModel: text in, text out, for any engine that can read a prompt and then one more token."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import index as as_int

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GenerationConfig
from kerasgpt.errors import UsageError
from kerasgpt.generation.beam_search import EndsWith, beam_search
from kerasgpt.generation.chooser import settings_of_rows
from kerasgpt.generation.continuation import Continuation
from kerasgpt.generation.decode import decode
from kerasgpt.generation.probabilities import log_softmax
from kerasgpt.generation.samplers import greedy, seeds_of_rows
from kerasgpt.generation.stopping import fit_prompt
from kerasgpt.generation.texts import pad_right
from kerasgpt.protocols import Generation, Logits, Prompt, Score, Settings, StepModel
from kerasgpt.tokenizer.bpe import Tokenizer

LOGITS_BUDGET = 2**26  # numbers in the largest (B, T, V) array asked of an engine: 256 MiB
LARGEST_BATCH = 64  # rows decoded together: more of them only make the cache grow


class PromptTruncatedWarning(UserWarning):
    """A prompt was longer than the context; only its end was read."""


@dataclass(frozen=True)
class _Row:
    """One continuation to be written: the prompt as it is read, how to go on, and the text so far."""

    prompt: list[int]
    settings: GenerationConfig
    seed: int
    text: Continuation


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

    def generate(self, prompts: Sequence[Prompt], settings: Settings | None = None) -> list[Generation]:
        """Continue each prompt.

        Args:
            prompts: texts, or ids; an empty one starts from ``<|endoftext|>``. Of one that fills the
                context only the end is read, with a PromptTruncatedWarning.
            settings: of this request, or of each prompt; None means those of the model.

        Returns:
            `num_return_sequences` Generations a prompt, in the prompts' order; the same alone or among
            others, but that sampled ones draw from their seed + their index in this list.

        Raises:
            UsageError: an id is not in the vocabulary, `prompts` is one text and no list, or there are
                neither one nor as many settings as prompts.
        """
        _refuse_text(prompts)
        each = settings_of_rows(self.settings if settings is None else settings, len(prompts))
        rows = self._rows(prompts, each)
        searched = [number for number, row in enumerate(rows) if row.settings.num_beams > 1]
        stepped = [number for number, row in enumerate(rows) if row.settings.num_beams == 1]
        for batch in self._batches([len(rows[number].prompt) for number in stepped]):
            for _ in self._write([rows[stepped[number]] for number in batch]):
                pass
        self._search([rows[number] for number in searched])
        return [row.text.finish() for row in rows]

    def stream(self, prompt: Prompt, settings: GenerationConfig | None = None) -> Iterator[str]:
        """Yield the continuation in pieces that split no character; joined, they are `generate`'s text.

        Text that may still turn out to be a stop string is held back until it is decided; beam search
        knows its text only at the end.

        Raises:
            UsageError: an id is not in the vocabulary, or the settings ask for several continuations.
        """
        chosen = settings or self.settings
        if chosen.num_return_sequences > 1:
            raise UsageError(
                f"num_return_sequences {chosen.num_return_sequences}: a stream is one text; use generate"
            )
        (row,) = self._rows([prompt], [chosen])
        return self._stream(row)

    def _stream(self, row: _Row) -> Iterator[str]:
        if row.settings.num_beams > 1:
            self._search([row])
        else:
            for _ in self._write([row]):
                yield from row.text.released()
        row.text.finish()
        yield from row.text.released()

    def _write(self, rows: Sequence[_Row]) -> Iterator[None]:
        """Let the texts grow by one token a step."""
        for tokens in decode(
            self.model,
            [row.prompt for row in rows],
            [row.settings for row in rows],
            self.tokenizer.end_of_text_id,
            row_seeds=np.array([row.seed for row in rows], np.uint64),
            ends_text=lambda number, index: rows[number].text.push(index),
        ):
            for token in tokens:
                rows[token.row].text.record(token.id, token.logprob, token.finish_reason)
            yield

    def _search(self, rows: Sequence[_Row]) -> None:
        """Let the texts grow at once to the best beams: rows of one prompt are its best, second best, ..."""
        requests: dict[GenerationConfig, list[_Row]] = {}
        for row in rows:
            requests.setdefault(row.settings, []).append(row)
        for settings, members in requests.items():
            count = settings.num_return_sequences
            size = max(LARGEST_BATCH // settings.num_beams, 1) * count
            for start in range(0, len(members), size):
                batch = members[start : start + size]
                prompts = [row.prompt for row in batch[::count]]
                found = beam_search(
                    self.model,
                    prompts,
                    settings,
                    self.tokenizer.end_of_text_id,
                    ends_with=self._ends_with(settings) if settings.stop else None,
                )
                best = [hypothesis for each in found for hypothesis in each[:count]]
                for row, hypothesis in zip(batch, best, strict=True):
                    row.text.take(hypothesis)

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
        for number, logits in self._read([[*prompt, *rest][:-1] if rest else [] for prompt, rest in pairs]):
            prompt, rest = pairs[number]
            first = len(prompt) - 1
            scores[number] = _score(logits[first : first + len(rest)], rest)
        return scores

    def _read(self, rows: Sequence[Sequence[int]]) -> Iterator[tuple[int, Logits]]:
        """Read rows that have tokens: the number of each, and its logits, float32 (T or more, V)."""
        for batch in self._batches([len(row) for row in rows]):
            logits = self.model.all_logits(*pad_right([rows[number] for number in batch]))
            yield from zip(batch, logits, strict=True)

    def _rows(self, prompts: Sequence[Prompt], settings: Sequence[GenerationConfig]) -> list[_Row]:
        """One row for each continuation wanted."""
        for own in settings:
            self._check_ids(own)
        fitted = [self._fitted(*pair) for pair in zip(prompts, settings, strict=True)]
        echoes = self._echoes(fitted, settings)
        wanted = [n for n, own in enumerate(settings) for _ in range(own.num_return_sequences)]
        seeds = seeds_of_rows(settings[number].seed for number in wanted)
        return [
            _Row(
                fitted[number],
                settings[number],
                seed,
                Continuation(self.tokenizer, settings[number], fitted[number], echoes.get(number)),
            )
            for number, seed in zip(wanted, seeds.tolist(), strict=True)
        ]

    def _echoes(
        self, prompts: Sequence[list[int]], settings: Sequence[GenerationConfig]
    ) -> dict[int, list[float | None]]:
        """Log-probabilities of the tokens of prompts that are echoed, by the prompts' numbers."""
        read = [prompt if own.echo else [] for prompt, own in zip(prompts, settings, strict=True)]
        return {
            number: [None, *_logprobs(logits[: len(read[number]) - 1], read[number][1:]).tolist()]
            for number, logits in self._read(read)
        }

    def _ends_with(self, settings: GenerationConfig) -> EndsWith:
        def ends(_: int, continuation: Sequence[int]) -> bool:
            skip = settings.skip_special_tokens
            text = self.tokenizer.decode(continuation, skip_special_tokens=skip)
            return any(stop in text for stop in settings.stop)

        return ends

    def _check_ids(self, settings: GenerationConfig) -> None:
        named = {
            "bad_words_ids": [index for word in settings.bad_words_ids for index in word],
            "allowed_token_ids": settings.allowed_token_ids,
            "logit_bias": settings.logit_bias,
        }
        for name, ids in named.items():
            for index in ids:
                if not 0 <= index < self.model.vocabulary_size:
                    raise UsageError(
                        f"{name} holds id {index}: ids go from 0 to {self.model.vocabulary_size - 1}"
                    )

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
                stacklevel=6,
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


def _refuse_text(prompts: Sequence[Prompt]) -> None:
    # A text is a sequence too: of its characters, each a prompt, which nobody means.
    if isinstance(prompts, str):
        raise UsageError(f"a list of prompts is needed, and this is one text: write [{prompts[:20]!r}]")


def _score(logits: Logits, ids: Sequence[int]) -> Score:
    """Score tokens (T,) under the logits (T, V) that precede each."""
    total = float(_logprobs(logits, ids).sum(dtype=np.float64))
    return Score(total, len(ids), np.array_equal(greedy(logits), ids))


def _logprobs(logits: Logits, ids: Sequence[int]) -> Logits:
    """Log-probabilities (T,) of tokens under the logits (T, V) that precede each."""
    targets: NDArray[np.int64] = np.array(ids, np.int64)
    logprobs: Logits = np.take_along_axis(log_softmax(logits), targets[:, None], axis=1)[:, 0]
    return logprobs
