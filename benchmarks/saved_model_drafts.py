"""What drafts gain in the graph of a SavedModel where they are right, and what they cost where not.

``python benchmarks/saved_model_drafts.py [--preset NAME] [--rounds N]``

A model of random weights, one text at a time, greedily, with drafts and without in turns. Random weights
write nothing worth copying, so what they write is laid down: every step is computed, and then the next token
of a script is made the most probable. The scripts are the ends of what drafts do: ``copies``, a passage of
the prompt again and again; ``never_repeats``, noise, of which no draft and no guess is right.
`trained_text.py` says what lies between. Writes benchmarks/results/saved_model_drafts.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from machine import machine, versions

import kerasgpt
from kerasgpt.artifacts import write_json
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.export.saved_model import graph_weights
from kerasgpt.in_graph.decode import GraphModel
from kerasgpt.in_graph.generation import Words, generate, step_by_step
from kerasgpt.in_graph.requests import greedy_request
from kerasgpt.in_graph.speculation import with_drafts
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.in_graph.transformer import GraphTransformer
from kerasgpt.in_graph.weights import GraphWeights

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "saved_model_drafts.json"
NEW_TOKENS = 128


class Scripted(GraphTransformer):
    """A transformer with another's steps and costs, whose most probable token is the next of a script."""

    def __init__(self, config: GPT2Config, weights: GraphWeights) -> None:
        followers = np.random.default_rng(4).integers(0, config.vocabulary_size, config.vocabulary_size)
        super().__init__(config, weights, centred=True, followers=tf.Variable(followers.astype(np.int32)))
        self.script = tf.Variable(np.zeros(config.max_sequence_length, np.int64))
        self.num_steps = tf.Variable(0)
        self._following: Any = None  # places after the tokens of the step that is being traced

    def read_next(self, ids: Any, positions: Any, cache: Any) -> tuple[Any, Any]:
        """Read tokens, and count the step."""
        self._following = tf.reshape(positions, [-1]) + 1
        self.num_steps.assign_add(1)
        return super().read_next(ids, positions, cache)

    def head(self, hidden: Any) -> Any:
        """The logits, the script's token lifted above all others, but for the first one, after the prompt."""
        logits = super().head(hidden)
        if self._following is None:
            return logits
        return logits + tf.one_hot(
            tf.gather(self.script, self._following), self.config.vocabulary_size, 100.0
        )


def scripts() -> dict[str, list[tuple[list[int], list[int]]]]:
    """Pairs of a prompt and what is written after it, by kind."""
    noise = np.random.default_rng(3).integers(0, 50000, (2, 2 * NEW_TOKENS)).tolist()
    return {
        "copies": [(noise[0][:100], (noise[0][30:90] * 3)[:NEW_TOKENS])],
        "never_repeats": [(noise[1][:100], noise[1][-NEW_TOKENS:])],
    }


def writer(model: GraphModel, transformer: Scripted, words: Words) -> Callable[[list[int], int], Any]:
    """A compiled function: a prompt and a number of tokens -> the tokens."""

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int64)]
    )
    def write(ids: Any, num_tokens: Any) -> Any:
        request = greedy_request(1, 0)._replace(max_new_tokens=num_tokens[None])
        rows = tf.RaggedTensor.from_tensor(ids[None])
        return generate(model, transformer, words, rows, request, tf.constant([""]))["token_ids"][0]

    return lambda ids, num_tokens: write(
        tf.constant(ids, tf.int64), tf.constant(num_tokens, tf.int64)
    ).numpy()


def measure(config: GPT2Config, num_rounds: int) -> dict[str, dict[str, float]]:
    """Of each kind of text: tokens a second with drafts and without, their ratio, tokens a step."""
    keras.utils.set_random_seed(0)
    model = kerasgpt.GPT2CausalLM(config)
    model.build()
    tokenizer = kerasgpt.Tokenizer.from_preset("gpt2")
    words = Words(InGraphTokenizer.from_tokenizer(tokenizer), tokenizer.end_of_text_id)
    weights = GraphWeights(graph_weights(config, named_arrays(model), "fp32"))
    ways = {}
    for way, make in {"plain": step_by_step, "drafts": with_drafts}.items():
        transformer = Scripted(config, weights)
        ways[way] = (transformer, writer(make(transformer), transformer, words))
    found = {}
    for kind, pairs in scripts().items():
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        steps = dict.fromkeys(ways, 0)
        for number in range(num_rounds + 1):
            for way, (transformer, write) in ways.items():
                spent = 0.0
                transformer.num_steps.assign(0)
                for prompt, script in pairs:
                    line = np.zeros(config.max_sequence_length, np.int64)
                    line[len(prompt) : len(prompt) + len(script)] = script
                    transformer.script.assign(line)
                    started = time.perf_counter()
                    written = write(prompt, len(script))
                    spent += time.perf_counter() - started
                    assert written[1:].tolist() == script[1:], "what was written is not the script"
                if number:  # the first round warms up
                    seconds[way].append(spent)
                steps[way] = int(transformer.num_steps)
        tokens = sum(len(script) for _, script in pairs)
        ratios = sorted(other / own for own, other in zip(seconds["drafts"], seconds["plain"], strict=True))
        rates = {way: round(tokens / statistics.median(spent), 1) for way, spent in seconds.items()}
        found[kind] = {
            **{f"{way}_tokens_per_second": rate for way, rate in rates.items()},
            "ratio": round(statistics.median(ratios), 3),
            "smallest_ratio": round(ratios[0], 3),
            "largest_ratio": round(ratios[-1], 3),
            "tokens_per_step": round((tokens - len(pairs)) / steps["drafts"], 2),
        }
    return found


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="gpt2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = measure(GPT2Config.from_preset(arguments.preset), arguments.rounds)
    facts = {"machine": machine(), "versions": versions("tensorflow", "keras", "numpy")}
    settings = {"preset": arguments.preset, "new_tokens": NEW_TOKENS, "num_rounds": arguments.rounds}
    content = {**facts, **settings, "texts": found}
    write_json(arguments.out, content)
    print(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
