"""What is asked for: prompts and settings as continuations to be written, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kerasgpt.generation.continuation import Continuation
from kerasgpt.generation.prompts import PromptReader
from kerasgpt.generation.samplers import seeds_of_rows
from kerasgpt.generation.scoring import Scorer
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Prompt


@dataclass(frozen=True)
class Request:
    """One continuation to be written.

    Attributes:
        prompt: ids, as the model reads them.
        settings: how to go on.
        seed: of the sampling.
        text: what is written so far.
    """

    prompt: list[int]
    settings: GenerationConfig
    seed: int
    text: Continuation


class RequestReader:
    """Checks what is asked for, and takes it apart.

    Args:
        prompts: which reads them.
        scorer: of prompts that are to be echoed.
    """

    def __init__(self, prompts: PromptReader, scorer: Scorer) -> None:
        self._prompts = prompts
        self._scorer = scorer

    def read(self, prompts: Sequence[Prompt], settings: Sequence[GenerationConfig]) -> list[Request]:
        """One request for each continuation wanted: as many as each prompt's settings say.

        Raises:
            UsageError: an id is not in the vocabulary.
        """
        for own in settings:
            self.check_settings(own)
        fitted = [
            self._prompts.fitted(prompt, own.max_new_tokens)
            for prompt, own in zip(prompts, settings, strict=True)
        ]
        echoed = [prompt if own.echo else [] for prompt, own in zip(fitted, settings, strict=True)]
        echoes = self._scorer.token_logprobs(echoed)
        wanted = [n for n, own in enumerate(settings) for _ in range(own.num_return_sequences)]
        seeds = seeds_of_rows(settings[number].seed for number in wanted)
        return [
            Request(
                fitted[number],
                settings[number],
                seed,
                Continuation(self._prompts.tokenizer, settings[number], fitted[number], echoes.get(number)),
            )
            for number, seed in zip(wanted, seeds.tolist(), strict=True)
        ]

    def check_settings(self, settings: GenerationConfig) -> None:
        """Refuse settings that are not for this vocabulary.

        Raises:
            UsageError: they hold an id that is not in it.
        """
        named = {
            "bad_words_ids": [index for word in settings.bad_words_ids for index in word],
            "allowed_token_ids": settings.allowed_token_ids,
            "logit_bias": settings.logit_bias,
        }
        for name, ids in named.items():
            self._prompts.check(ids, name)
