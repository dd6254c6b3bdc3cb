"""StepLanguageModel: text in, text out, for any engine that can read a prompt and then one more token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kerasgpt import checks
from kerasgpt.errors import UsageError
from kerasgpt.generation.batches import LARGEST_BATCH, batches
from kerasgpt.generation.beam_search import EndsWith, beam_search
from kerasgpt.generation.chooser import settings_of_rows
from kerasgpt.generation.decode import decode
from kerasgpt.generation.prefill import Prefill
from kerasgpt.generation.prefix_cache import PrefixCache
from kerasgpt.generation.prompts import PromptReader
from kerasgpt.generation.requests import Request, RequestReader
from kerasgpt.generation.rows import Token
from kerasgpt.generation.scoring import Scorer
from kerasgpt.generation.speculation import speculate
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import ExtendableStepModel, Generation, Prompt, Score, Settings, StepModel
from kerasgpt.tokenizer.bpe import Tokenizer


class StepLanguageModel:
    """Generate, stream and score with a StepModel; see `kerasgpt.protocols.LanguageModel`.

    Where the engine may be used from several threads, so may its language model: each call has its own
    text, and the calls share nothing but what the prefix cache remembers, which changes no text.

    Args:
        model: the engine.
        tokenizer: whose ids the model was trained on.
        settings: used where a call gives none; None means greedy, 64 new tokens.
        prefix_cache_tokens: of beginnings of prompts that are kept for later ones, on an engine that
            extends; see `kerasgpt.generation.prefix_cache`.

    Attributes:
        requests: which reads what a call asks for.
        prefill: which reads prompts.

    Raises:
        UsageError: the tokenizer has ids that the model does not know.
    """

    def __init__(
        self,
        model: StepModel,
        tokenizer: Tokenizer,
        settings: GenerationConfig | None = None,
        *,
        prefix_cache_tokens: int = 0,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings or GenerationConfig()
        reader = PromptReader(tokenizer, model.vocabulary_size, model.max_sequence_length)
        self._scorer = Scorer(model, reader)
        self.requests = RequestReader(reader, self._scorer)
        self.prefill = Prefill(model, PrefixCache(prefix_cache_tokens) if prefix_cache_tokens else None)

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
        prompts = checks.several("prompts", prompts)
        each = settings_of_rows(self.settings if settings is None else settings, len(prompts))
        rows = self.requests.read(prompts, each)
        searched = [number for number, row in enumerate(rows) if row.settings.num_beams > 1]
        stepped = [number for number, row in enumerate(rows) if row.settings.num_beams == 1]
        for batch in batches([len(rows[number].prompt) for number in stepped], self.model.vocabulary_size):
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
        (chosen,) = settings_of_rows(self.settings if settings is None else settings, 1)
        if chosen.num_return_sequences > 1:
            raise UsageError(
                f"num_return_sequences {chosen.num_return_sequences}: a stream is one text; use generate"
            )
        (row,) = self.requests.read([prompt], [chosen])
        return self._stream(row)

    def _stream(self, row: Request) -> Iterator[str]:
        if row.settings.num_beams > 1:
            self._search([row])
        else:
            for _ in self._write([row]):
                yield from row.text.released()
        row.text.finish()
        yield from row.text.released()

    def _write(self, rows: Sequence[Request]) -> Iterator[None]:
        """Let the texts grow by one token a step."""
        for tokens in self._steps(rows):
            for token in tokens:
                rows[token.row].text.record(token.id, token.logprob, token.finish_reason)
            yield

    def _steps(self, rows: Sequence[Request]) -> Iterator[list[Token]]:
        """The tokens of each step: several steps at once where one text is to be foretold and can be."""
        model, end_of_text_id = self.model, self.tokenizer.end_of_text_id

        def ends_text(number: int, index: int) -> bool:
            return rows[number].text.push(index)

        words: dict[str, Any] = {
            "row_seeds": np.array([row.seed for row in rows], np.uint64),
            "ends_text": ends_text,
            "prefill": self.prefill,
        }
        first = rows[0]
        alone = len(rows) == 1 and first.settings.prompt_lookup_num_tokens
        if alone and isinstance(model, ExtendableStepModel):
            return speculate(model, first.prompt, first.settings, end_of_text_id, **words)
        prompts, settings = [row.prompt for row in rows], [row.settings for row in rows]
        return decode(model, prompts, settings, end_of_text_id, **words)

    def _search(self, rows: Sequence[Request]) -> None:
        """Let the texts grow at once to the best beams: rows of one prompt are its best, second best, ..."""
        requests: dict[GenerationConfig, list[Request]] = {}
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
                    prefill=self.prefill,
                )
                best = [hypothesis for each in found for hypothesis in each[:count]]
                for row, hypothesis in zip(batch, best, strict=True):
                    row.text.take(hypothesis)

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[Prompt]) -> list[Score]:
        """Score each continuation after its prompt; see `kerasgpt.generation.scoring.Scorer.score`."""
        return self._scorer.score(prompts, continuations)

    def _ends_with(self, settings: GenerationConfig) -> EndsWith:
        def ends(_: int, continuation: Sequence[int]) -> bool:
            skip = settings.skip_special_tokens
            text = self.tokenizer.decode(continuation, skip_special_tokens=skip, errors="ignore")
            return any(stop in text for stop in settings.stop)

        return ends
