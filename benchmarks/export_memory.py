"""Seconds and memory that an export to ONNX takes, its proofs included: ``[--preset gpt2] [--out FILE]``.

A process of its own makes a GPT-2 of random weights and exports it; from outside, its memory and that of the
fresh processes it starts for the proofs are sampled: what they have resident, and the part of it that no file
backs. The memory figures are the largest samples over the weights' size in float32, TensorFlow itself
included. On a shared machine the processor's seconds say more than the clock's. The exit code is 1 if a
process had more than 2.2 times the weights, which at 124M cannot but be: TensorFlow and a table of logits are
about twice its size. Needs Linux, and disk for four times the weights.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import machine, versions

from kerasgpt import artifacts
from kerasgpt.atomic import write_text
from kerasgpt.config import GPT2Config

LIMIT = 2.2
SAMPLE_SECONDS = 0.02
FIELDS = {"VmRSS": "resident_bytes", "RssAnon": "anonymous_bytes"}

EXPORT = """
import json, sys, time
import keras
import kerasgpt

preset, folder = sys.argv[1:]
keras.utils.set_random_seed(0)
model = kerasgpt.GPT2CausalLM.from_preset(preset)
tokenizer = kerasgpt.Tokenizer.from_preset("gpt2")
started = time.perf_counter()
said = []
tell = lambda line: (said.append((time.perf_counter() - started, line)), print(line, file=sys.stderr))
kerasgpt.export_bundle(model, tokenizer, folder, formats=("onnx",), tell=tell)
print(json.dumps({"seconds": time.perf_counter() - started, "said": said}))
"""


def memory_of(pid: int) -> dict[str, int]:
    """What a process has now, in bytes; nothing if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(found[field].split()[0]) * 1024 for field, name in FIELDS.items() if field in found}


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def watched(child: subprocess.Popen[str]) -> dict[str, dict[str, int]]:
    """Wait for a process; the largest memory of itself, and of any child of it."""
    peaks: dict[str, dict[str, int]] = {"exporter": {}, "largest_proof": {}}
    while child.poll() is None:
        samples = [("exporter", memory_of(child.pid))]
        samples += [("largest_proof", memory_of(pid)) for pid in children_of(child.pid)]
        for who, sample in samples:
            for name, size in sample.items():
                peaks[who][name] = max(peaks[who].get(name, 0), size)
        time.sleep(SAMPLE_SECONDS)
    return peaks


def measure(preset: str) -> dict[str, Any]:
    """Export a model of a preset's size once."""
    size = 4 * GPT2Config.from_preset(preset).num_parameters
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as answer:
        folder = Path(name) / "bundle"
        child = subprocess.Popen(
            [sys.executable, "-c", EXPORT, preset, str(folder)], stdout=answer, text=True
        )
        peaks = watched(child)
        if child.returncode:
            sys.exit(child.returncode)
        answer.seek(0)
        told = json.loads(answer.read().splitlines()[-1])
        report = json.loads((folder / artifacts.REPORT_JSON).read_text())
        sizes = {path.name: path.stat().st_size for path in (folder / "onnx").iterdir()}
    return {
        "preset": preset,
        "weights_bytes": size,
        "seconds": round(told["seconds"], 1),
        "processor_seconds": round(processor_seconds(), 1),
        "writing_model_onnx_seconds": round(writing_seconds(told["said"], artifacts.ONNX_MODEL), 1),
        "peak_memory": {
            who: {
                **found,
                **{f"{key[:-6]}_times_the_weights": round(value / size, 3) for key, value in found.items()},
            }
            for who, found in peaks.items()
        },
        "onnx_files_bytes": sizes,
        "proofs": report["artifacts"],
        "versions": versions("keras", "tensorflow", "numpy", "onnx", "onnxruntime"),
        "machine": machine(),
    }


def processor_seconds() -> float:
    """What the exporter, its start and its model included, and all its proofs had of the cores together."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def writing_seconds(said: list[tuple[float, str]], file: str) -> float:
    """From the line that a file is being written to the next."""
    number = next(number for number, (_, line) in enumerate(said) if line == f"writing {file}")
    return said[number + 1][0] - said[number][0]


def main() -> int:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="gpt2")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = measure(options.preset)
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")
    factors = [
        value
        for found in result["peak_memory"].values()
        for name, value in found.items()
        if name.endswith("_times_the_weights")
    ]
    return int(max(factors) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
