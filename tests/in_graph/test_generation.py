"""Generation in groups and among rows that end early, against one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.in_graph import groups
from kerasgpt.in_graph.generation import Words, generate, step_by_step
from kerasgpt.in_graph.requests import greedy_request
from kerasgpt.in_graph.transformer import GraphTransformer

PROMPTS = ["hello", "", "the end of you'll", "naïve 🙂", "a", "b", "c", "d", "e", "zz", "y" * 60, "th"]


def continued(transformer: GraphTransformer, words: Words, prompts: list[str], wanted: list[int]) -> Any:
    request = greedy_request(len(prompts), 0)._replace(max_new_tokens=tf.constant(wanted, tf.int64))
    ids = words.tokenizer.encode([prompt.encode() for prompt in prompts])
    model = step_by_step(transformer)
    error = tf.fill([len(prompts)], "")
    outputs = tf.function(generate)(model, transformer, words, ids, request, error)
    return {name: tensor.numpy() for name, tensor in outputs.items()}


@pytest.mark.parametrize("largest_group", [1, 5, 64])
@pytest.mark.filterwarnings("ignore::kerasgpt.generation.prompts.PromptTruncatedWarning")
def test_a_row_gets_what_keras_gives_it_alone(
    transformer: GraphTransformer,
    words: Words,
    keras_lm: StepLanguageModel,
    largest_group: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups, "LARGEST_GROUP", largest_group)
    # Of lengths so unlike that most rows end while others go on: those are taken apart.
    wanted = [1, 0, 25, 2, 1, 30, 1, 3, 1, 2, 7, 1]
    outputs = continued(transformer, words, PROMPTS, wanted)
    for row, (prompt, count) in enumerate(zip(PROMPTS, wanted, strict=True)):
        (alone,) = keras_lm.generate([prompt], GenerationConfig(max_new_tokens=count))
        written = int(outputs["num_tokens"][row])
        assert outputs["token_ids"][row, :written].tolist() == alone.token_ids
        assert outputs["text"][row].decode() == alone.text
        np.testing.assert_allclose(outputs["logprobs"][row, :written], alone.logprobs, atol=1e-4)
        assert outputs["finish_reason"][row].decode() == alone.finish_reason
        assert outputs["num_prompt_tokens"][row] == alone.num_prompt_tokens
    assert outputs["token_ids"].shape == (len(PROMPTS), max(wanted))


@pytest.mark.filterwarnings("ignore::kerasgpt.generation.prompts.PromptTruncatedWarning")
def test_rows_that_have_ended_cost_no_more_steps(
    transformer: GraphTransformer,
    words: Words,
    keras_lm: StepLanguageModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = keras_lm.generate(PROMPTS, GenerationConfig(max_new_tokens=20))
    _, longest = max(zip((len(each.token_ids) for each in written), PROMPTS, strict=True))
    read = tf.Variable(0)
    real = GraphTransformer.read_next

    def counted(self: GraphTransformer, ids: Any, positions: Any, cache: Any) -> Any:
        read.assign_add(tf.size(ids))
        return real(self, ids, positions, cache)

    monkeypatch.setattr(GraphTransformer, "read_next", counted)
    outputs = continued(transformer, words, ["z"] * 8 + [longest], [1] * 8 + [20])
    *short, long = outputs["num_tokens"].tolist()
    assert short == [1] * 8
    assert long > 5
    # All of them wrote their first token from the prompt; then one row alone was read for each other.
    assert int(read) == long - 1


def test_more_tokens_than_the_context_has_take_no_more_room(
    transformer: GraphTransformer, words: Words
) -> None:
    outputs = continued(transformer, words, ["a"], [10**12])
    assert outputs["token_ids"].shape[1] <= transformer.config.max_sequence_length
    assert outputs["num_tokens"][0] <= transformer.config.max_sequence_length - 1
