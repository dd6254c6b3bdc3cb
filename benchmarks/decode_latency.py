"""How fast each engine writes, and ONNX in each precision.

``python benchmarks/decode_latency.py [BUNDLE] [--preset NAME] [--tokens N] [--rounds N]``

Greedy tokens per second at batch 1 and 8 after prompts of 16 tokens, the engines taking turns so that
whatever else the machine does falls on all of them alike; medians over the rounds. Without a bundle, one
of random weights is made, of a preset's size and in every precision. Writes
benchmarks/results/decode_latency.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from machine import machine

import kerasgpt
from kerasgpt.artifacts import ONNX_MODEL, Manifest, read_config, read_generation_config, write_json
from kerasgpt.engines import ENGINES, PRECISIONS
from kerasgpt.export.report import versions
from kerasgpt.protocols import LanguageModel
from kerasgpt.runtime.language_model import open_file

RESULTS = Path(__file__).parent / "results" / "decode_latency.json"
PROMPT_TOKENS = 16
BATCHES = (1, 8)


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="?", help="with every format; default: made here")
    parser.add_argument("--preset", default="gpt-mini", help="size of the bundle made here")
    parser.add_argument("--tokens", type=int, default=64, help="written after each prompt, at most")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bundle = arguments.bundle or make_bundle(Path(scratch), arguments.preset, arguments.tokens)
        result = measure(bundle, arguments.tokens, arguments.rounds)
    write_json(arguments.out, result)
    print(json.dumps(result, indent=2))


def make_bundle(scratch: Path, preset: str, num_tokens: int) -> str:
    """A GPT-2 with random weights, exported in every format and precision."""
    tokenizer = kerasgpt.Tokenizer.from_preset("gpt2")
    config = kerasgpt.GPT2Config.from_preset(preset, max_sequence_length=256)
    settings = kerasgpt.GenerationConfig(max_new_tokens=num_tokens)
    model = kerasgpt.GPT2CausalLM(config)
    model.build()
    kerasgpt.export_bundle(
        model, tokenizer, scratch / "bundle", precisions=PRECISIONS, generation_config=settings
    )
    return str(scratch / "bundle")


def measure(bundle: str, num_tokens: int, num_rounds: int) -> dict:
    """Tokens per second of each engine at each batch size, the engines interleaved."""
    num_tokens = min(num_tokens, read_generation_config(bundle).max_new_tokens)  # a SavedModel's limit
    config = read_config(bundle)
    models: dict[str, LanguageModel] = {
        engine: kerasgpt.load(bundle, engine) for engine in ENGINES if engine != "onnx"
    }
    models["onnx_portable"] = open_file(bundle, ONNX_MODEL)
    for precision in Manifest.read(bundle).precisions:
        models[f"onnx_{precision}"] = kerasgpt.load(bundle, "onnx", precision)
    prompts = np.random.default_rng(0).integers(0, config.vocabulary_size, (max(BATCHES), PROMPT_TOKENS))
    settings = kerasgpt.GenerationConfig(max_new_tokens=num_tokens)
    rates: dict[str, dict[str, list[float]]] = {
        engine: {f"batch_{size}": [] for size in BATCHES} for engine in models
    }
    for number in range(num_rounds + 1):
        for size in BATCHES:
            for engine, model in models.items():
                rate = tokens_per_second(model, prompts[:size].tolist(), settings)
                if number:  # the first round compiles and warms up
                    rates[engine][f"batch_{size}"].append(rate)
    return {
        "machine": machine(),
        "versions": versions(),
        "model": {"num_parameters": config.num_parameters, "num_layers": config.num_layers},
        "prompt_tokens": PROMPT_TOKENS,
        "new_tokens": num_tokens,
        "num_rounds": num_rounds,
        "tokens_per_second": {
            engine: {batch: summary(values) for batch, values in by_batch.items()}
            for engine, by_batch in rates.items()
        },
    }


def tokens_per_second(
    model: LanguageModel, prompts: list[list[int]], settings: kerasgpt.GenerationConfig
) -> float:
    """One request, from ids to text, prefill included."""
    started = time.perf_counter()
    generations = model.generate(prompts, settings)
    return sum(len(generation.token_ids) for generation in generations) / (time.perf_counter() - started)


def summary(rates: list[float]) -> dict[str, float]:
    """The median, and the range that says how quiet the machine was."""
    found = {"median": statistics.median(rates), "lowest": min(rates), "highest": max(rates)}
    return {name: round(value, 1) for name, value in found.items()}


if __name__ == "__main__":
    main()
