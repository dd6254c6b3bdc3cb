"""What choosing tokens costs, and how much that is of a step.

``python benchmarks/sampling.py [--rounds N] [--step-ms B1 B8]``

Logits of GPT-2's vocabulary in three spreads: ``peaked``, as a trained model's mostly are (a few tokens far
above a normal spread of 3), ``spread`` (that alone) and ``flat`` (a spread of 1, as of random weights).
For batches of 1 and 8 rows the median microseconds of a whole choice as the loop makes it, the token's
log-probability included, and their share of a step, given or that of the 4-bit graph at 124M. Writes
benchmarks/results/sampling.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import machine, versions

from kerasgpt.artifacts import write_json
from kerasgpt.generation.rows import Row, Writer
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Logits

RESULTS = Path(__file__).parent / "results" / "sampling.json"
VOCABULARY = 50257
REPEATS = 40
STEP_MS = (2.6, 8.0)  # of the 4-bit graph at 124M, batches of 1 and 8
WAYS = {
    "greedy": GenerationConfig(max_new_tokens=1000),
    "temperature": GenerationConfig(max_new_tokens=1000, temperature=0.8),
    "top_k": GenerationConfig(max_new_tokens=1000, temperature=0.8, top_k=40),
    "top_p": GenerationConfig(max_new_tokens=1000, temperature=0.8, top_p=0.95),
    "min_p": GenerationConfig(max_new_tokens=1000, temperature=0.8, min_p=0.05),
    "top_k_top_p": GenerationConfig(max_new_tokens=1000, temperature=0.8, top_k=40, top_p=0.95),
}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--step-ms", type=float, nargs=2, default=STEP_MS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for batch, step_ms in zip((1, 8), arguments.step_ms, strict=True):
        found[f"batch_{batch}"] = {
            spread: measure(logits, arguments.rounds, step_ms) for spread, logits in spreads(batch).items()
        }
    facts = {"machine": machine(), "versions": versions("numpy")}
    settings = {"vocabulary": VOCABULARY, "step_ms": list(arguments.step_ms), "num_rounds": arguments.rounds}
    content = {**facts, **settings, "choices": found}
    write_json(arguments.out, content)
    print(json.dumps(content, indent=2))


def spreads(batch: int) -> dict[str, Logits]:
    """Logits (B, V) by name."""
    generator = np.random.default_rng(0)
    normal = generator.standard_normal((batch, VOCABULARY), np.float32)
    peaked = normal * np.float32(3)
    for row in peaked:
        tokens = generator.integers(0, VOCABULARY, 20)
        row[tokens] += 14 - 0.5 * np.arange(20, dtype=np.float32)
    return {"peaked": peaked, "spread": normal * np.float32(3), "flat": normal}


def measure(logits: Logits, num_rounds: int, step_ms: float) -> dict[str, dict[str, float]]:
    """Median microseconds of each way to choose, in turns, and their share of a step."""
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(num_rounds + 1):
        for way, settings in WAYS.items():
            seconds = timed(writer(settings, len(logits)), logits)
            if number:  # the first round warms up
                times[way].append(seconds)
    result = {}
    for way, seconds in times.items():
        microseconds = statistics.median(seconds) * 1e6
        share = microseconds / (step_ms * 10)
        result[way] = {"microseconds": round(microseconds, 1), "percent_of_step": round(share, 2)}
    return result


def writer(settings: GenerationConfig, batch: int) -> Callable[[Logits], object]:
    """What the loop calls with the logits of a step."""
    rows = [Row(number, [1, 2, 3], settings, number, 1024) for number in range(batch)]
    return Writer(rows, end_of_text_id=VOCABULARY - 1).write


def timed(choose: Callable[[Logits], object], logits: Logits) -> float:
    """Seconds a call, the median of some."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        choose(logits)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
