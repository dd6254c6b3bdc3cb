"""A language model of a few lines, whose answers can be worked out by hand."""

import numpy as np
import pytest

from kerasgpt.protocols import Generation, Score
from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary


class ByteModel:
    """Reads bytes; the logits of the next one follow from all that were read, or from `favours`.

    Args:
        context: in tokens.
        favours: text -> nats that are added to its score, wherever it is scored.
    """

    def __init__(self, context: int = 1000, favours: dict[str, float] | None = None) -> None:
        self.tokenizer = Tokenizer(learned_vocabulary([]), [])
        self.max_sequence_length = context
        self.favours = favours or {}
        self.calls = 0
        self.prompts: list[str] = []

    def logprobs(self, before: list[int]) -> np.ndarray:
        logits = np.random.default_rng(before).normal(0, 2, 257)
        return logits - np.log(np.exp(logits).sum())

    def score(self, prompts, continuations) -> list[Score]:
        self.calls += 1
        return [self._score(list(one), list(two)) for one, two in zip(prompts, continuations, strict=True)]

    def _score(self, prompt: list[int], rest: list[int]) -> Score:
        assert len(prompt) + len(rest) - 1 <= self.max_sequence_length
        self.prompts.append(self.tokenizer.decode(prompt))
        rows = [self.logprobs([*prompt, *rest[:end]]) for end in range(len(rest))]
        logprob = sum(float(row[index]) for row, index in zip(rows, rest, strict=True))
        favour = self.favours.get(self.tokenizer.decode(rest), 0.0)
        return Score(
            logprob + favour, len(rest), all(row.argmax() == i for row, i in zip(rows, rest, strict=True))
        )

    def generate(self, prompts, settings) -> list[Generation]:
        """Answer each prompt with the input of its last example, upside down: its letters backwards."""
        self.calls += 1
        self.prompts += prompts
        self.settings = settings
        texts = [prompt.rpartition("Q: ")[2].partition("\n")[0][::-1] for prompt in prompts]
        return [Generation(f" {text}", [], 0, "stop", []) for text in texts]


@pytest.fixture
def byte_model() -> type[ByteModel]:
    """The class of it."""
    return ByteModel
