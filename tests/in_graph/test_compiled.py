"""The compiled model writes what the plain one writes, whatever it is padded to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.export.saved_model import graph_weights
from kerasgpt.in_graph.compiled import LARGEST_BATCH, STEPS, Buckets, compiled_model
from kerasgpt.in_graph.generation import Words
from kerasgpt.in_graph.signatures import signatures
from kerasgpt.in_graph.transformer import GraphTransformer
from kerasgpt.in_graph.weights import GraphWeights
from kerasgpt.models.gpt2 import GPT2CausalLM

PROMPTS = ["hello", "", "the end of you'll", "naïve 🙂", "y" * 60, "c", "d", "e", "f", "g"]


@pytest.fixture(scope="module")
def compiled(small_model: GPT2CausalLM, words: Words) -> dict[str, Any]:
    weights = GraphWeights(graph_weights(small_model.config, named_arrays(small_model), "fp32"))
    transformer = GraphTransformer(small_model.config, weights, centred=True, compiled=True)
    return signatures(transformer, words, 10, compiled_model(transformer))


SETTINGS: dict[str, Any] = {
    "greedy": {},
    "sampled": {
        "temperature": tf.constant([1.0, 0.0, 0.7, 1.3, 1.0, 1.0, 0.5, 2.0, 1.0, 0.9]),
        "seed": tf.range(10, dtype=tf.int64),
        "top_k": tf.constant([0, 0, 5, 0, 9, 0, 0, 3, 0, 0], tf.int64),
        "top_p": tf.constant([1.0, 1, 1, 0.8, 1, 1, 0.9, 1, 1, 1]),
        "repetition_penalty": tf.constant([1.0, 1.4, 1, 1, 1, 1.2, 1, 1, 1, 1]),
        "max_new_tokens": tf.constant([10, 3, 0, 12, 5, 1, 30, 8, 9, 2], tf.int64),
    },
    "stopped": {"stop": tf.constant(["e", "", "o", "u", "", "l", "", "", "", ""])},
}


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("rows", [1, 3, len(PROMPTS)])
def test_it_writes_what_the_plain_graph_writes(
    functions: dict[str, Any], compiled: dict[str, Any], kind: str, rows: int
) -> None:
    prompts = tf.constant([prompt.encode() for prompt in PROMPTS[:rows]])
    settings = {name: value[:rows] for name, value in SETTINGS[kind].items()}
    expected, found = functions["generate"](prompts, **settings), compiled["generate"](prompts, **settings)
    for name in ("text", "token_ids", "num_tokens", "finish_reason"):
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    np.testing.assert_allclose(found["logprobs"], expected["logprobs"], atol=1e-4)


def test_the_sizes_go_up_to_the_context_and_all_are_reached() -> None:
    config = GPT2Config.from_preset("gpt2")
    buckets = Buckets.of(config)
    assert buckets.prompts[-1] == config.max_sequence_length
    assert buckets.columns[-1] == config.max_sequence_length + STEPS
    assert buckets.rows[-1] == LARGEST_BATCH
    for rows, prompt, new in buckets.requests():
        assert rows in buckets.rows
        assert prompt + new <= config.max_sequence_length + 1
    reached = {(rows, prompt) for rows, prompt, _ in buckets.requests()}
    assert reached == {(rows, prompt) for rows in buckets.rows for prompt in buckets.prompts}


@pytest.mark.parametrize("context", [3, 16, 32, 33, 34, 300])
def test_in_any_context_a_step_is_reached(context: int) -> None:
    buckets = Buckets.of(GPT2Config(max_sequence_length=context))
    for rows in buckets.rows:
        written = [(prompt, new) for count, prompt, new in buckets.requests() if count == rows and new >= 2]
        assert written
        assert all(prompt + new <= context for prompt, new in written)
