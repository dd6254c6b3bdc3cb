"""What drafts from the text itself gain, and what they cost where there is nothing to gain.

``python benchmarks/prompt_lookup.py [--preset NAME] [--rounds N] [--precisions P ...]``

A model of random weights in each precision, one text at a time, with drafts and without in turns. Random
weights write nothing worth copying, so what they write is laid down: every step is computed, and then the
next token of a script is made the most probable. The scripts: ``copies`` repeats a passage of the prompt, as
a summary or an edited file does, ``edits`` does with every tenth token another, ``never_repeats`` is noise.
Writes benchmarks/results/prompt_lookup.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine, versions
from random_model import open_random

from kerasgpt.artifacts import write_json
from kerasgpt.config import GPT2Config
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Ids, Logits
from kerasgpt.runtime.fused import FusedState, FusedStepModel

RESULTS = Path(__file__).parent / "results" / "prompt_lookup.json"
PRECISIONS = ("fp32", "int8", "int4")
NEW_TOKENS = 200
LONGEST_DRAFT = 15
PROMPT_TOKENS = 200


class Scripted:
    """An engine with another's steps and costs, whose most probable token is the next of a script."""

    def __init__(self, model: FusedStepModel) -> None:
        self._model = model
        self.vocabulary_size, self.max_sequence_length = model.vocabulary_size, model.max_sequence_length
        self.reorder, self.join, self.rewind = model.reorder, model.join, model.rewind
        self.snapshot, self.all_logits = model.snapshot, model.all_logits
        self.script: list[int] = []

    def prefill(self, ids: Ids, lengths: Ids) -> tuple[FusedState, Logits]:
        """Read prompts."""
        state, logits = self._model.prefill(ids, lengths)
        return state, self._followed(state, logits[:, None])[:, 0]

    def step(self, state: FusedState, ids: Ids) -> tuple[FusedState, Logits]:
        """Read one token a row."""
        state, logits = self._model.step(state, ids)
        return state, self._followed(state, logits[:, None])[:, 0]

    def extend(self, state: FusedState, ids: Ids, num_logits: int | None = None) -> tuple[FusedState, Logits]:
        """Read several tokens."""
        state, logits = self._model.extend(state, ids, num_logits)
        return state, self._followed(state, logits)

    def _followed(self, state: FusedState, logits: Logits) -> Logits:
        """Lift the script's tokens above all others in the logits (1, K, V) after the last K tokens."""
        first = int(state.lengths[0]) - logits.shape[1] + 1 - PROMPT_TOKENS
        for number in range(logits.shape[1]):
            if first + number < len(self.script):
                logits[0, number, self.script[first + number]] = 100
        return logits


def scripts(prompt: Sequence[int]) -> dict[str, list[int]]:
    """What is written after a prompt, by name."""
    generator = np.random.default_rng(3)
    copies = list(prompt[40:140]) * 2
    edits = [
        int(generator.integers(0, 50000)) if place % 10 == 9 else own for place, own in enumerate(copies)
    ]
    noise = generator.integers(0, 50000, NEW_TOKENS).tolist()
    return {"copies": copies[:NEW_TOKENS], "edits": edits[:NEW_TOKENS], "never_repeats": noise}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="gpt2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    config = GPT2Config.from_preset(arguments.preset, max_sequence_length=512)
    with tempfile.TemporaryDirectory() as scratch:
        result = {
            precision: measure(open_random(config, precision, Path(scratch)), arguments.rounds)
            for precision in arguments.precisions
        }
    facts = {"machine": machine(), "versions": versions("onnxruntime", "numpy")}
    settings = {"preset": arguments.preset, "new_tokens": NEW_TOKENS, "longest_draft": LONGEST_DRAFT}
    content = {**facts, **settings, "num_rounds": arguments.rounds, "precisions": result}
    write_json(arguments.out, content)
    print(json.dumps(content, indent=2))


def measure(model: StepLanguageModel, num_rounds: int) -> dict[str, dict[str, float | bool]]:
    """Tokens per second of each kind of text, with drafts and without, in the turns of each round."""
    assert isinstance(model.model, FusedStepModel)
    engine = Scripted(model.model)
    scripted = StepLanguageModel(engine, model.tokenizer)
    prompt = np.random.default_rng(1).integers(0, 50000, PROMPT_TOKENS).tolist()
    plain = GenerationConfig(max_new_tokens=NEW_TOKENS)
    ways = {"plain": plain, "drafts": replace(plain, prompt_lookup_num_tokens=LONGEST_DRAFT)}
    found: dict[str, dict[str, float | bool]] = {}
    for name, script in scripts(prompt).items():
        engine.script = script
        rates: dict[str, list[float]] = {way: [] for way in ways}
        is_script = True
        for number in range(num_rounds + 1):
            for way, settings in ways.items():
                started = time.perf_counter()
                written = scripted.generate([prompt], settings)[0].token_ids
                is_script &= written == script
                if number:  # the first round warms up
                    rates[way].append(len(written) / (time.perf_counter() - started))
        ratios = sorted(own / other for own, other in zip(rates["drafts"], rates["plain"], strict=True))
        found[name] = {
            **{f"{way}_tokens_per_second": round(statistics.median(own), 1) for way, own in rates.items()},
            "ratio": round(statistics.median(ratios), 3),
            "smallest_ratio": round(ratios[0], 3),
            "largest_ratio": round(ratios[-1], 3),
            "tokens_as_scripted": is_script,
        }
    return found


if __name__ == "__main__":
    main()
