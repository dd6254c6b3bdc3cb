"""Scores in the graph against the numpy scorer over the Keras model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.in_graph import scoring
from kerasgpt.in_graph.generation import Words
from kerasgpt.in_graph.scoring import score
from kerasgpt.in_graph.transformer import GraphTransformer

PAIRS = [
    ("hello", " the"),
    ("", "you"),
    ("the end", ""),
    ("naïve", " 🙂"),
    ("", ""),
    ("x" * 60, "y" * 9),
    ("a", "z" * 40),
]


def encoded(words: Words, texts: list[str]) -> tf.RaggedTensor:
    return words.tokenizer.encode([text.encode() for text in texts])


def greedy_pair(keras_lm: StepLanguageModel) -> tuple[str, str]:
    """A prompt, and what the model goes on with, as a text that is encoded as the same ids."""
    for prompt in ("hello", "a", "the", "you", "b", "c", "d", "e", "f"):
        (written,) = keras_lm.generate([prompt], GenerationConfig(max_new_tokens=2))
        if keras_lm.tokenizer.encode(written.text) == written.token_ids:
            return prompt, written.text
    raise AssertionError("none of the prompts")


@pytest.mark.parametrize("at_once", [3, 256])
@pytest.mark.filterwarnings("ignore::kerasgpt.generation.prompts.PromptTruncatedWarning")
def test_scores_are_those_of_keras(
    transformer: GraphTransformer,
    words: Words,
    keras_lm: StepLanguageModel,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "_TOKENS_AT_ONCE", at_once)
    prompts, rest = map(list, zip(*PAIRS, strict=True))
    prompts[0], rest[0] = greedy_pair(keras_lm)
    expected = keras_lm.score(prompts, rest)
    found = score(transformer, encoded(words, prompts), encoded(words, rest), words.end_of_text_id)
    np.testing.assert_allclose(found.logprob, [each.logprob for each in expected], atol=1e-3)
    assert found.num_tokens.numpy().tolist() == [each.num_tokens for each in expected]
    assert found.is_greedy.numpy().tolist() == [each.is_greedy for each in expected]
    assert found.is_greedy.numpy()[0]
    assert not found.is_greedy.numpy().all()
    assert set(found.error.numpy()) == {b""}


def test_a_continuation_beyond_the_context_is_an_error_of_its_row(
    transformer: GraphTransformer, words: Words
) -> None:
    prompts, rest = ["a", "a"], ["z" * 41, "b"]
    found = score(transformer, encoded(words, prompts), encoded(words, rest), words.end_of_text_id)
    alone = score(transformer, encoded(words, ["a"]), encoded(words, ["b"]), words.end_of_text_id)
    assert b"41 tokens, more than the model's context of 40" in found.error.numpy()[0]
    assert found.logprob.numpy()[0] == 0
    assert not found.is_greedy.numpy()[0]
    assert found.error.numpy()[1] == b""
    assert float(found.logprob[1]) == pytest.approx(float(alone.logprob[0]), abs=1e-5)
