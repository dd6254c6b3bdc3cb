"""What drafts from the text itself gain, and what they cost where there is nothing to gain.

``python benchmarks/prompt_lookup.py [--preset NAME] [--rounds N]``

A model of random weights in each precision, one text at a time, with drafts and without in turns. Two
kinds of text: one that copies its context (greedy decoding of random weights soon goes round in a circle)
and one that never does (sampled from a flat distribution). Writes benchmarks/results/prompt_lookup.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine, versions

import kerasgpt
from kerasgpt.artifacts import write_json
from kerasgpt.config import GenerationConfig, GPT2Config
from kerasgpt.export.fused_graph import write_fused
from kerasgpt.export.onnx_weights import weight_shapes
from kerasgpt.export.variants import KERNELS
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.protocols import LanguageModel
from kerasgpt.runtime.language_model import open_step_model

RESULTS = Path(__file__).parent / "results" / "prompt_lookup.json"
PRECISIONS = ("fp32", "int8", "int4")
NEW_TOKENS = 200
LONGEST_DRAFT = 15
TEXTS = {
    "copies": GenerationConfig(max_new_tokens=NEW_TOKENS),
    "never_repeats": GenerationConfig(max_new_tokens=NEW_TOKENS, temperature=1.0, seed=2),
}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="gpt2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    config = GPT2Config.from_preset(arguments.preset, max_sequence_length=512)
    with tempfile.TemporaryDirectory() as scratch:
        result = {
            precision: measure(open_random(config, precision, Path(scratch)), arguments.rounds)
            for precision in PRECISIONS
        }
    facts = {"machine": machine(), "versions": versions("onnxruntime", "numpy")}
    settings = {"preset": arguments.preset, "new_tokens": NEW_TOKENS, "longest_draft": LONGEST_DRAFT}
    content = {**facts, **settings, "num_rounds": arguments.rounds, "precisions": result}
    write_json(arguments.out, content)
    print(json.dumps(content, indent=2))


def open_random(config: GPT2Config, precision: str, scratch: Path) -> LanguageModel:
    """A model of random weights, as one fused file."""
    generator = np.random.default_rng(0)
    weights = {
        name: generator.standard_normal(shape, np.float32) * np.float32(0.02)
        for name, shape in weight_shapes(config).items()
    }
    path = scratch / f"{precision}.onnx"
    write_fused(config, weights, path, KERNELS[f"fast_{precision}"])
    model = open_step_model(path, max_sequence_length=config.max_sequence_length)
    return StepLanguageModel(model, kerasgpt.Tokenizer.from_preset("gpt2"))


def measure(model: LanguageModel, num_rounds: int) -> dict[str, dict[str, float | bool]]:
    """Tokens per second of each kind of text, with drafts and without, and whether the tokens are equal."""
    prompt = np.random.default_rng(1).integers(0, 50000, 200).tolist()
    found: dict[str, dict[str, float | bool]] = {}
    for name, plain in TEXTS.items():
        ways = {"plain": plain, "drafts": changed(plain, LONGEST_DRAFT)}
        rates: dict[str, list[float]] = {way: [] for way in ways}
        texts: dict[str, list[int]] = {}
        for number in range(num_rounds + 1):
            for way, settings in ways.items():
                started = time.perf_counter()
                texts[way] = model.generate([prompt], settings)[0].token_ids
                if number:  # the first round warms up
                    rates[way].append(len(texts[way]) / (time.perf_counter() - started))
        medians = {way: round(statistics.median(values), 1) for way, values in rates.items()}
        found[name] = {
            **{f"{way}_tokens_per_second": median for way, median in medians.items()},
            "ratio": round(medians["drafts"] / medians["plain"], 3),
            "tokens_equal": texts["plain"] == texts["drafts"],
        }
    return found


def changed(settings: GenerationConfig, longest: int) -> GenerationConfig:
    """The same settings with drafts."""
    return replace(settings, prompt_lookup_num_tokens=longest)


if __name__ == "__main__":
    main()
