"""What a bulk job costs beyond the model: records a second by `kerasgpt.bulk`, and by one call of generate.

``python benchmarks/bulk.py [--bundle BUNDLE] [--rounds N] [--records N]``

Without a bundle, a gpt-mini of random weights with GPT-2's vocabulary is exported first: the smaller the
model, the more the rest costs. Prompts of 4 to 128 words, 32 new tokens each. In turns, and each with the
opening of the bundle:

- ``direct``: `kerasgpt.load` and one call of generate with all prompts;
- ``bulk``: a job of the same prompts, half of them a shard, on the runner in this process, files in and out.

The ratio of processor time says the same on a machine that does other work too. Writes
benchmarks/results/bulk.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import tempfile
import time
from pathlib import Path

from machine import machine, versions

import kerasgpt
from kerasgpt.artifacts import write_json
from kerasgpt.bulk.job import Job
from kerasgpt.bulk.output import rows
from kerasgpt.bulk.pipeline import run

RESULTS = Path(__file__).parent / "results" / "bulk.json"
SETTINGS = kerasgpt.GenerationConfig(max_new_tokens=32, temperature=0.8, top_k=40, seed=1)
WORDS = ["the king", "has come", "to see", "what", "news", "his lord", "may bring", "from France"]


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--records", type=int, default=256)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)  # Beam's
    with tempfile.TemporaryDirectory() as scratch:
        bundle = arguments.bundle or exported(Path(scratch) / "bundle")
        found = measure(bundle, Path(scratch), arguments.records, arguments.rounds)
    content = {
        "machine": machine(),
        "versions": versions("apache-beam", "onnxruntime", "numpy"),
        "bundle": arguments.bundle.name if arguments.bundle else "gpt-mini with 50257 ids, random weights",
        "num_records": arguments.records,
        "new_tokens": SETTINGS.max_new_tokens,
        "num_rounds": arguments.rounds,
        **found,
    }
    write_json(arguments.out, content)
    print(json.dumps(content, indent=2))


def exported(folder: Path) -> Path:
    """A bundle of random weights."""
    model = kerasgpt.GPT2CausalLM.from_preset("gpt-mini", max_sequence_length=256)
    model.build()
    kerasgpt.export_bundle(model, kerasgpt.Tokenizer.from_preset("gpt2"), folder, ("onnx",))
    return folder


def measure(bundle: Path, scratch: Path, num_records: int, num_rounds: int) -> dict[str, object]:
    """Records a second each way, and the medians of the ratios within a round, by two clocks."""
    generator = random.Random(1)
    prompts = [" ".join(generator.choices(WORDS, k=generator.randint(4, 64))) for _ in range(num_records)]
    (scratch / "prompts.txt").write_text("".join(prompt + "\n" for prompt in prompts))
    seconds: dict[str, list[tuple[float, float]]] = {"direct": [], "bulk": []}
    for number in range(num_rounds):
        output = str(scratch / f"out{number}")
        job = Job(
            str(bundle),
            [str(scratch / "prompts.txt")],
            output,
            settings=SETTINGS,
            shard_size=num_records // 2,
        )
        started = clocks()
        texts = kerasgpt.load(bundle).generate(prompts, SETTINGS)
        seconds["direct"].append(since(started))
        started = clocks()
        run(job)
        seconds["bulk"].append(since(started))
        assert [row["text"] for row in rows(output)] == [each.text for each in texts]
    result: dict[str, object] = {
        f"{way}_records_per_second": round(num_records / statistics.median(wall for wall, _ in own), 1)
        for way, own in seconds.items()
    }
    for place, clock in enumerate(("ratio", "processor_ratio")):
        pairs = zip(seconds["direct"], seconds["bulk"], strict=True)
        ratios = sorted(direct[place] / bulk[place] for direct, bulk in pairs)
        result[clock] = round(statistics.median(ratios), 3)
        result[f"{clock}_range"] = [round(ratios[0], 3), round(ratios[-1], 3)]
    return result


def clocks() -> tuple[float, float]:
    """Seconds by the clock, and those that this process had a processor."""
    return time.perf_counter(), time.process_time()


def since(started: tuple[float, float]) -> tuple[float, float]:
    """What both clocks have gone on by."""
    wall, processor = clocks()
    return wall - started[0], processor - started[1]


if __name__ == "__main__":
    main()
