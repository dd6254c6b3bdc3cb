"""How much of a static batch's throughput is left when the requests come one by one.

``python benchmarks/continuous_batching.py [--preset NAME] [--rounds N] [--precisions P ...]``

A model of random weights in float32 and in 4 bits, prompts of 16 to 96 tokens. In turns:

- ``static``: one call of generate with all prompts;
- ``at_once``: as many threads, each streaming one request, all beginning at the same time;
- ``staggered``: three times as many requests of 40 to 160 tokens, with a pause before each, so that rows join
  a batch that is running and leave it one by one, and some have to wait;
- ``static_ragged``, its yardstick: the same requests by generate, a batch after the other.

Every token is counted, of prompts none. Writes benchmarks/results/continuous_batching.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

import numpy as np
from machine import machine, versions
from random_model import open_random

from kerasgpt.artifacts import write_json
from kerasgpt.config import GPT2Config
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.runtime.batching import ContinuousBatching

RESULTS = Path(__file__).parent / "results" / "continuous_batching.json"
PRECISIONS = ("fp32", "int4")
NUM_ROWS = 8
NEW_TOKENS = 100
LENGTHS = (40, 160)  # of the texts that differ
PAUSE_SECONDS = 0.02

Prompts = Sequence[Sequence[int]]


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="gpt2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    config = GPT2Config.from_preset(arguments.preset, max_sequence_length=512)
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for precision in arguments.precisions:
            model = open_random(config, precision, Path(scratch))
            found[precision] = measure(model, arguments.rounds)
            print(precision, json.dumps(found[precision]))
    facts = {"machine": machine(), "versions": versions("onnxruntime", "numpy")}
    settings = {
        "preset": arguments.preset,
        "num_rows": NUM_ROWS,
        "new_tokens": NEW_TOKENS,
        "ragged_new_tokens": LENGTHS,
        "pause_seconds": PAUSE_SECONDS,
    }
    content = {**facts, **settings, "num_rounds": arguments.rounds, "precisions": found}
    write_json(arguments.out, content)
    print(json.dumps(content, indent=2))


def measure(model: StepLanguageModel, num_rounds: int) -> dict[str, object]:
    """Tokens per second each way, and the medians of the ratios within a round."""
    generator = np.random.default_rng(1)
    prompts = [generator.integers(0, 50000, size).tolist() for size in generator.integers(16, 97, 24)]
    few, same = prompts[:NUM_ROWS], [length(NEW_TOKENS)] * NUM_ROWS
    ragged = [length(int(size)) for size in generator.integers(*LENGTHS, len(prompts))]
    with ContinuousBatching(model, max_batch_size=NUM_ROWS) as batching:
        ways: dict[str, Callable[[], int]] = {
            "static": lambda: static(model, few, same),
            "at_once": lambda: streamed(batching, few, same, 0.0),
            "static_ragged": lambda: static(model, prompts, ragged),
            "staggered": lambda: streamed(batching, prompts, ragged, PAUSE_SECONDS),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(num_rounds + 1):
            for way, run in ways.items():
                started = time.perf_counter()
                count = run()
                if number:  # the first round warms up
                    rates[way].append(count / (time.perf_counter() - started))
    result: dict[str, object] = {
        f"{way}_tokens_per_second": round(statistics.median(values), 1) for way, values in rates.items()
    }
    for way, yardstick in (("at_once", "static"), ("staggered", "static_ragged")):
        ratios = sorted(own / other for own, other in zip(rates[way], rates[yardstick], strict=True))
        result[f"{way}_ratio"] = round(statistics.median(ratios), 3)
        result[f"{way}_ratio_range"] = [round(ratios[0], 3), round(ratios[-1], 3)]
    return result


def static(model: StepLanguageModel, prompts: Prompts, settings: Sequence[GenerationConfig]) -> int:
    """Write texts in batches of `NUM_ROWS`, one after the other: the number of their tokens."""
    written = 0
    for start in range(0, len(prompts), NUM_ROWS):
        rows = slice(start, start + NUM_ROWS)
        written += sum(len(each.token_ids) for each in model.generate(prompts[rows], settings[rows]))
    return written


def streamed(
    batching: ContinuousBatching,
    prompts: Prompts,
    settings: Sequence[GenerationConfig],
    pause_seconds: float,
) -> int:
    """Write each text in a thread of its own, so many seconds after another: the number of their tokens."""
    counts = [0] * len(prompts)

    def ask(number: int) -> None:
        submission = batching.submit(prompts[number], settings[number])
        for _ in submission:
            pass
        counts[number] = len(submission.result().token_ids)

    threads = [Thread(target=ask, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
        time.sleep(pause_seconds)
    for thread in threads:
        thread.join()
    return sum(counts)


def length(num_tokens: int) -> GenerationConfig:
    """A text of exactly so many tokens."""
    return GenerationConfig(max_new_tokens=num_tokens, min_new_tokens=num_tokens)


if __name__ == "__main__":
    main()
