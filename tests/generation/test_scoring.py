import numpy as np
import pytest

from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.prompts import PromptReader, PromptTruncatedWarning
from kerasgpt.generation.scoring import Scorer
from kerasgpt.generation_config import GenerationConfig

PROMPTS = ["the quick brown fox", "a", "", "jumps over"]


@pytest.fixture
def lm(random_model, byte_tokenizer) -> StepLanguageModel:
    return StepLanguageModel(random_model, byte_tokenizer)


def test_score_equals_one_token_at_a_time(lm) -> None:
    continuations = ["es", "jump", "b", "the lazy dog"]
    for prompt, continuation, score in zip(
        PROMPTS, continuations, lm.score(PROMPTS, continuations), strict=True
    ):
        ids, total = lm.tokenizer.encode(prompt) or [256], 0.0
        for index in lm.tokenizer.encode(continuation):
            logits = lm.model.rule(ids)
            total += logits[index] - np.log(np.exp(logits).sum())
            ids = [*ids, index]
        assert score.logprob == pytest.approx(total, abs=1e-4)
        assert score.num_tokens == len(continuation)
        assert not score.is_greedy


def test_score_knows_the_greedy_continuation(lm) -> None:
    written = lm.generate(["abc"], GenerationConfig(max_new_tokens=6))[0]
    other = [*written.token_ids[:-1], (written.token_ids[-1] + 1) % 256]
    right, wrong = lm.score(["abc", "abc"], [written.token_ids, other])
    assert right.is_greedy
    assert not wrong.is_greedy
    assert right.logprob == pytest.approx(sum(written.logprobs), abs=1e-5)


def test_score_of_uniform_logits_is_the_logarithm_of_the_vocabulary(rule_model, byte_tokenizer) -> None:
    lm = StepLanguageModel(rule_model(lambda ids: np.zeros(257)), byte_tokenizer)
    score = lm.score(["any"], ["thing"])[0]
    assert score.logprob == pytest.approx(-5 * np.log(257), rel=1e-6)


def test_an_empty_continuation_is_certain(lm) -> None:
    score = lm.score(["abc"], [""])[0]
    assert (score.logprob, score.num_tokens, score.is_greedy) == (0.0, 0, True)


def test_score_cuts_the_prompt_on_the_left(lm) -> None:
    prompt, rest = list(range(60)), [7] * 10
    with pytest.warns(PromptTruncatedWarning, match="only its last 55"):
        cut = lm.score([prompt], [rest])
    assert cut == lm.score([prompt[-55:]], [rest])
    with pytest.warns(PromptTruncatedWarning):
        assert lm.score([prompt], [[7] * 64])[0].num_tokens == 64


def test_score_refuses_what_cannot_be_scored(lm) -> None:
    with pytest.raises(UsageError, match="65 tokens, more than the model's context of 64"):
        lm.score(["x"], [[7] * 65])
    with pytest.raises(UsageError, match="2 prompts and 1 continuation: give"):
        lm.score(["x", "y"], ["z"])


def test_token_logprobs_are_the_terms_of_the_score(random_model, byte_tokenizer) -> None:
    scorer = Scorer(random_model, PromptReader(byte_tokenizer, 257, 64))
    rows = [[], [5], [1, 2, 3, 4], list(range(64))]
    found = scorer.token_logprobs(rows)
    assert sorted(found) == [1, 2, 3]
    for number, logprobs in found.items():
        assert len(logprobs) == len(rows[number])
        assert logprobs[0] is None
        (score,) = scorer.score([rows[number][:1]], [rows[number][1:]])
        assert sum(logprobs[1:]) == pytest.approx(score.logprob, abs=1e-3)


def test_logits_that_are_no_numbers_are_a_sentence(rule_model, byte_tokenizer) -> None:
    model = rule_model(lambda ids: np.full(257, np.nan, np.float32))
    with pytest.raises(KerasGPTError, match="logits are not finite"):
        StepLanguageModel(model, byte_tokenizer).score(["a"], ["b"])
