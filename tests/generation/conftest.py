"""Engines simple enough to know every answer, and the tokenizer of the 256 bytes."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary

Rule = Callable[[Sequence[int]], np.ndarray]


class RuleModel:
    """A StepModel whose next logits are a pure function of all ids so far; its state is those ids."""

    def __init__(self, rule: Rule, vocabulary_size: int, max_sequence_length: int) -> None:
        self.rule = rule
        self.vocabulary_size = vocabulary_size
        self.max_sequence_length = max_sequence_length
        self.batch_sizes: list[int] = []  # of each step

    def _logits(self, texts: list[list[int]]) -> np.ndarray:
        assert all(0 < len(text) <= self.max_sequence_length for text in texts)
        return np.stack([self.rule(text) for text in texts]).astype(np.float32)

    def prefill(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
        texts = [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
        return texts, self._logits(texts)

    def step(self, state: list[list[int]], ids: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
        self.batch_sizes.append(len(ids))
        texts = [[*text, index] for text, index in zip(state, ids.tolist(), strict=True)]
        return texts, self._logits(texts)

    def reorder(self, state: list[list[int]], indices: np.ndarray) -> list[list[int]]:
        return [state[index] for index in indices]

    def join(self, states: Sequence[list[list[int]]]) -> list[list[int]]:
        return [text for state in states for text in state]

    def all_logits(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        assert 0 < ids.shape[1] <= self.max_sequence_length
        logits = np.full((*ids.shape, self.vocabulary_size), np.nan, np.float32)
        for row, (text, length) in enumerate(zip(ids.tolist(), lengths.tolist(), strict=True)):
            for position in range(length):
                logits[row, position] = self.rule(text[: position + 1])
        return logits


class ExtendableRuleModel(RuleModel):
    """One that reads on after a text, and counts the tokens that it has read but for single steps."""

    num_read = 0

    def prefill(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
        self.num_read += int(lengths.sum())
        return super().prefill(ids, lengths)

    def extend(
        self, state: list[list[int]], ids: np.ndarray, num_logits: int | None = None
    ) -> tuple[list[list[int]], np.ndarray]:
        ((text,), (new,)) = state, ids.tolist()
        self.num_read += len(new)
        texts = [[*text, *new[: place + 1]] for place in range(len(new))]
        return texts[-1:], self._logits(texts[-(num_logits or len(new)) :])[None]

    def rewind(self, state: list[list[int]], num_tokens: int) -> list[list[int]]:
        return [text[: len(text) - num_tokens] for text in state]

    def snapshot(self, state: list[list[int]], row: int, num_tokens: int) -> list[list[int]]:
        return [state[row][:num_tokens]]


@pytest.fixture(scope="session")
def byte_tokenizer() -> Tokenizer:
    """Ids 0-255 are the bytes, 256 is end of text."""
    return Tokenizer(learned_vocabulary([]), [])


@pytest.fixture
def rule_model() -> Callable[..., RuleModel]:
    """Build an engine from a rule."""

    def build(rule: Rule, vocabulary_size: int = 257, max_sequence_length: int = 64) -> RuleModel:
        return RuleModel(rule, vocabulary_size, max_sequence_length)

    return build


@pytest.fixture
def writer(rule_model: Callable[..., RuleModel]) -> Callable[..., RuleModel]:
    """Build an engine that writes one text after any prompt, then end of text."""

    def build(text: str | bytes, max_sequence_length: int = 64) -> RuleModel:
        script = [*(text.encode() if isinstance(text, str) else text), 256]

        def rule(ids: Sequence[int]) -> np.ndarray:
            written = next(n for n in range(len(script), -1, -1) if list(ids[len(ids) - n :]) == script[:n])
            return 9.0 * np.eye(257)[script[written % len(script)]]

        return rule_model(rule, max_sequence_length=max_sequence_length)

    return build


def arbitrary(ids: Sequence[int]) -> np.ndarray:
    """Fixed logits after each text."""
    return np.random.default_rng([len(ids), *ids]).normal(0, 2, 257)


@pytest.fixture
def random_model(rule_model: Callable[..., RuleModel]) -> RuleModel:
    """An engine with arbitrary but fixed logits after each text."""
    return rule_model(arbitrary)


@pytest.fixture
def extendable() -> ExtendableRuleModel:
    """The same, with a longer context, and able to read on after a text."""
    return ExtendableRuleModel(arbitrary, 257, 1000)
