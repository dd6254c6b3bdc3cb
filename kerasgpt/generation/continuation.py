"""The text of one row as it grows: decoded without splitting characters, cut at stop strings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kerasgpt.generation.beam_search import Hypothesis
from kerasgpt.generation.stopping import StopStrings
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import FinishReason, Generation
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.streaming import StreamingDecoder


class Continuation:
    """What is written after one prompt.

    Args:
        tokenizer: which turns ids into text.
        settings: of the row.
        prompt: ids, as the model reads them.
        prompt_logprobs: of each of them, to be echoed; None means no echo.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: GenerationConfig,
        prompt: Sequence[int],
        prompt_logprobs: Sequence[float | None] | None = None,
    ) -> None:
        self._decoder = StreamingDecoder(tokenizer, skip_special_tokens=settings.skip_special_tokens)
        self._stops = StopStrings(settings.stop)
        self._num_prompt_tokens = len(prompt)
        echo = prompt if prompt_logprobs is not None else ()
        # Past the stop strings, but by the same decoder: what is written may end the prompt's last character.
        self._pieces = [self._decoder.push(index) for index in echo]
        self._num_released = 0
        self._ids = list(echo)
        self._logprobs: list[float | None] = list(prompt_logprobs or ())
        self._reason: FinishReason | None = None

    def push(self, index: int) -> bool:
        """Take a token's text; whether a stop string is complete now."""
        self._pieces.append(self._stops.push(self._decoder.push(index)))
        return self._stops.found

    def record(self, index: int, logprob: float, finish_reason: FinishReason | None) -> None:
        """Take a token's id, its log-probability, and why the text ends with it, if it does."""
        self._ids.append(index)
        self._logprobs.append(logprob)
        self._reason = finish_reason

    def take(self, hypothesis: Hypothesis) -> None:
        """Take a whole continuation, as beam search ends it."""
        for index, logprob in zip(hypothesis.ids, hypothesis.logprobs, strict=True):
            self.push(index)
            self.record(index, logprob, hypothesis.finish_reason)

    def released(self) -> Iterator[str]:
        """Pieces not given out before, none of them empty."""
        pieces = self._pieces[self._num_released :]
        self._num_released = len(self._pieces)
        return filter(None, pieces)

    def finish(self) -> Generation:
        """Let out what was held back, and say what was written."""
        self._pieces.append(self._stops.push(self._decoder.flush()))
        self._pieces.append(self._stops.flush())
        return Generation(
            text="".join(self._pieces),
            token_ids=self._ids,
            num_prompt_tokens=self._num_prompt_tokens,
            finish_reason="stop" if self._stops.found else self._reason or "length",
            logprobs=self._logprobs,
        )
