import numpy as np
import pytest

from kerasgpt.errors import UsageError
from kerasgpt.protocols import Score
from kerasgpt.tasks.language_modeling import evaluate
from kerasgpt.tasks.stretches import split
from kerasgpt.tokenizer.bpe import Tokenizer, learned_vocabulary

TEXT = "Ein Mann, né en été: 🙂 and then some more plain text to score."


class WindowModel:
    """A language model whose next logits depend on the ids it was given, all of them."""

    def __init__(self, context: int, uniform: bool = False) -> None:
        self.tokenizer = Tokenizer(learned_vocabulary([]), [])
        self.max_sequence_length = context
        self.uniform = uniform
        self.scored: list[list[int]] = []
        self.longest = 0

    def logprob(self, before: list[int], index: int) -> float:
        self.longest = max(self.longest, len(before))
        logits = np.zeros(257) if self.uniform else np.random.default_rng(before).normal(0, 2, 257)
        return float(logits[index] - np.log(np.exp(logits).sum()))

    def score(self, prompts, continuations) -> list[Score]:
        scores = []
        for prompt, rest in zip(prompts, continuations, strict=True):
            self.scored.append(list(rest))
            ids = [*prompt, *rest]
            logprobs = [self.logprob(ids[:end], ids[end]) for end in range(len(prompt), len(ids))]
            scores.append(Score(sum(logprobs), len(rest), False))
        return scores


def naive_loss(lm: WindowModel, window: int, stride: int) -> float:
    """One token at a time: those of a step share the left edge of their window."""
    ids = [256, *TEXT.encode()]
    total = 0.0
    for target in range(1, len(ids)):
        steps_after_the_first = max(0, -(-(target - window) // stride))
        last_of_step = min(window + steps_after_the_first * stride, len(ids) - 1)
        total -= lm.logprob(ids[max(last_of_step - window, 0) : target], ids[target])
    return total / (len(ids) - 1)


@pytest.mark.parametrize(
    ("context", "window", "stride"),
    [(1000, None, None), (16, None, None), (16, 16, 1), (16, 10, 10), (16, 7, 3), (5, 1, 1), (1, None, None)],
)
def test_loss_equals_one_token_at_a_time(context: int, window: int | None, stride: int | None) -> None:
    lm = WindowModel(context)
    result = evaluate(lm, TEXT, window=window, stride=stride)
    width = window or context
    assert lm.longest <= width
    assert result["loss"] == pytest.approx(naive_loss(lm, width, stride or max(width // 2, 1)), rel=1e-9)
    assert result["perplexity"] == pytest.approx(np.exp(result["loss"]))


@pytest.mark.parametrize("context", [3, 16, 64, 1000])
def test_every_byte_is_scored_exactly_once(context: int) -> None:
    lm = WindowModel(context)
    result = evaluate(lm, TEXT)
    assert bytes(index for part in lm.scored for index in part) == TEXT.encode()
    assert result["num_tokens"] == result["num_bytes"] == len(TEXT.encode())


def test_a_uniform_model_gives_the_logarithm_of_the_vocabulary() -> None:
    result = evaluate(WindowModel(16, uniform=True), TEXT)
    assert result["loss"] == pytest.approx(np.log(257))
    assert result["perplexity"] == pytest.approx(257)
    assert result["bits_per_byte"] == pytest.approx(np.log2(257))


@pytest.mark.parametrize("window", [1, 2, 5, 8])
def test_after_the_first_window_each_token_has_its_context(window: int) -> None:
    stride = max(window // 2, 1)
    for before, scored in list(split(range(40), window, stride))[1:-1]:
        assert len(before) + len(scored) - 1 == window
        assert len(scored) == stride


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("", {}, "empty"),
        ("a", {"window": 17}, "window is 17: it must be from 1 to the context of 16"),
        ("a", {"window": 0}, "window is 0"),
        ("a", {"stride": 0}, "stride is 0"),
        ("a", {"window": 4, "stride": 5}, "stride is 5: it must be from 1 to the window of 4"),
    ],
)
def test_wrong_requests_are_refused(text: str, words: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(WindowModel(16), text, **words)
