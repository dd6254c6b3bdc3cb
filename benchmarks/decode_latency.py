"""How fast each engine reads and writes: ours in each precision, and the programs people use in its place.

``python benchmarks/decode_latency.py [BUNDLE] [--preset NAME] [--peers PYTHON] [--only NAME...]``

Each engine runs in a process of its own, and they take turns, so that whatever else the machine does falls on
all of them alike; medians over the rounds. Of one prompt of 512 tokens the time to the first new one; tokens
per second at batch 1 and 8 after prompts of 16 tokens, greedily, reading them included; resident memory after
batch 1. ``--peers`` names the Python of an environment with decode_latency.requirements.txt in it; engines
that cannot be loaded there are left out with a word. Without a bundle, one of random weights is made, of a
preset's size. Ours does more for its figures than the others: it also
gives log-probabilities and text. Writes benchmarks/results/decode_latency.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, versions

import kerasgpt
from kerasgpt.artifacts import ONNX_FILES, read_config, write_json
from kerasgpt.manifest import Manifest

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "decode_latency.json"
LONG_PROMPT, SHORT_PROMPT, LARGE_BATCH = 512, 16, 8

# name -> (script in engines/, its arguments); {bundle}, {gguf} are filled in
PEERS: dict[str, tuple[str, ...]] = {
    "llama.cpp f32": ("llamacpp", "{gguf}/f32.gguf"),
    "llama.cpp Q8_0": ("llamacpp", "{gguf}/Q8_0.gguf"),
    "llama.cpp Q4_0": ("llamacpp", "{gguf}/Q4_0.gguf"),
    "GenAI int8": ("genai", "{bundle}", "int8"),
    "GenAI int4": ("genai", "{bundle}", "int4"),
    "CTranslate2 float32": ("ct2", "{bundle}", "float32"),
    "CTranslate2 int8": ("ct2", "{bundle}", "int8"),
    "OpenVINO bf16": ("openvino_lm", "{bundle}/onnx/model.onnx", "bf16"),
    "OpenVINO int8": ("openvino_lm", "{bundle}/onnx/model.onnx", "int8"),
    "OpenVINO int4": ("openvino_lm", "{bundle}/onnx/model.onnx", "int4"),
    "transformers float32": ("torch_lm", "{bundle}", "float32"),
    "transformers bfloat16": ("torch_lm", "{bundle}", "bfloat16"),
    "keras-hub float32": ("kerashub", "{bundle}", "float32"),
}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="?", help="with ONNX files; default: made here")
    parser.add_argument("--preset", default="gpt-mini", help="size of the bundle made here")
    parser.add_argument("--peers", help="Python of the environment with the other programs")
    parser.add_argument("--only", nargs="*", help="beginnings of engines' names")
    parser.add_argument("--tokens", type=int, default=64, help="written after each prompt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        arguments.bundle = arguments.bundle or make_bundle(Path(scratch) / "bundle", arguments.preset)
        if arguments.peers:
            subprocess.run(
                [arguments.peers, HERE / "engines/gguf_file.py", arguments.bundle, scratch], check=True
            )
        commands = engines(arguments.bundle, arguments.peers, scratch)
        wanted = tuple(arguments.only or [""])
        commands = {name: command for name, command in commands.items() if name.startswith(wanted)}
        result = measure(commands, read_config(arguments.bundle), arguments.tokens, arguments.rounds)
    facts = {"machine": machine(), "versions": versions("onnxruntime", "numpy")}
    sizes = {"prompt_tokens": SHORT_PROMPT, "long_prompt_tokens": LONG_PROMPT, "new_tokens": arguments.tokens}
    content = {**facts, **sizes, "num_rounds": arguments.rounds, **result}
    write_json(arguments.out, content)
    print(table(content["engines"]))


def make_bundle(folder: Path, preset: str) -> str:
    """A GPT-2 with random weights, exported to ONNX in every precision; needs Keras."""
    model = kerasgpt.GPT2CausalLM(kerasgpt.GPT2Config.from_preset(preset, max_sequence_length=1024))
    model.build()
    tokenizer = kerasgpt.Tokenizer.from_preset("gpt2")
    kerasgpt.export_bundle(model, tokenizer, folder, ("onnx",), ("fp32", "int8", "int4"))
    return str(folder)


def engines(bundle: str, peers: str | None, gguf: str) -> dict[str, list[str]]:
    """Name -> the command that runs it."""
    ours = [sys.executable, str(HERE / "engines/ours.py"), bundle]
    precisions = [precision for precision in Manifest.read(bundle).precisions if precision in ONNX_FILES]
    found = {f"kerasgpt {precision}": [*ours, precision] for precision in precisions}
    found |= {
        f"kerasgpt {precision}, huge pages": [*ours, precision, "huge_pages"] for precision in precisions
    }
    for name, (script, *rest) in PEERS.items() if peers else ():
        filled = [part.format(bundle=bundle, gguf=gguf) for part in rest]
        found[name] = [str(peers), str(HERE / f"engines/{script}.py"), *filled]
    return found


class Engine:
    """A process that answers requests, see engines/worker.py."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.loaded: dict[str, Any] = self._answer()

    def ask(self, prompts: list[list[int]], num_tokens: int) -> dict[str, Any]:
        """Let it write."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"prompts": prompts, "num_tokens": num_tokens}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def resident_bytes(self) -> int:
        """Memory that it holds now."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024

    def end(self) -> None:
        """Let it go."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = next(
            (line for line in self._process.stdout if line.startswith("{")), ""
        )  # some talk on loading
        if not line:
            assert self._process.stderr is not None
            reason = (self._process.stderr.read().strip().splitlines() or ["no answer"])[-1]
            raise RuntimeError(reason)
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(commands: dict[str, list[str]], config: Any, num_tokens: int, num_rounds: int) -> dict[str, Any]:
    """The figures of each engine that can be loaded, and why the others cannot."""
    generator = np.random.default_rng(0)
    prompts = generator.integers(0, config.vocabulary_size - 1, (LARGE_BATCH, LONG_PROMPT)).tolist()
    short = [prompt[:SHORT_PROMPT] for prompt in prompts]
    running, left_out, rows = started(commands, short, num_tokens)
    for number in range(num_rounds):
        for name, engine in running.items():
            engine.ask(short[:1], num_tokens)  # wakes it up: others have had the machine in between
            rows[name]["prefill"].append(engine.ask(prompts[:1], 1)["seconds"])
            rows[name]["batch_1"].append(rate(engine.ask(short[:1], num_tokens)))
            if number == 0:
                rows[name]["resident_bytes"] = engine.resident_bytes()
            rows[name]["batch_8"].append(rate(engine.ask(short, num_tokens // 2)))
        print(f"round {number + 1} of {num_rounds}", file=sys.stderr)
    for engine in running.values():
        engine.end()
    figures = {name: figures_of(rows[name], running[name].loaded) for name in running}
    return {"num_parameters": config.num_parameters, "engines": figures, "left_out": left_out}


def started(
    commands: dict[str, list[str]], short: list[list[int]], num_tokens: int
) -> tuple[dict[str, Engine], dict[str, str], dict[str, dict[str, Any]]]:
    """Engines that have loaded and warmed up, reasons of those that have not, and empty rows."""
    running, left_out, rows = {}, {}, {}
    for name, command in commands.items():
        try:
            engine = Engine(command)
            engine.ask([short[0] * (LONG_PROMPT // SHORT_PROMPT)], 1)
            engine.ask(short[:1], num_tokens)  # some compile for each size
            engine.ask(short, num_tokens // 2)
        except (RuntimeError, OSError, BrokenPipeError) as error:
            left_out[name] = str(error)
            print(f"left out {name}: {error}", file=sys.stderr)
            continue
        running[name], rows[name] = engine, {"prefill": [], "batch_1": [], "batch_8": []}
        print(f"loaded {name}", file=sys.stderr)
    return running, left_out, rows


def rate(answer: dict[str, Any]) -> float:
    """Tokens per second."""
    return answer["num_tokens"] / answer["seconds"]


def figures_of(row: dict[str, Any], loaded: dict[str, Any]) -> dict[str, Any]:
    """Medians, and the range that says how quiet the machine was."""

    def summary(values: list[float], digits: int) -> dict[str, float]:
        found = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        return {key: round(value, digits) for key, value in found.items()}

    return {
        "version": loaded["version"],
        "load_seconds": round(loaded["load_seconds"], 2),
        "prefill_seconds": summary(row["prefill"], 4),
        "batch_1_tokens_per_second": summary(row["batch_1"], 1),
        "batch_8_tokens_per_second": summary(row["batch_8"], 1),
        "resident_bytes": row["resident_bytes"],
    }


def table(figures: dict[str, dict[str, Any]]) -> str:
    """The medians for people."""
    lines = [f"{'engine':24} {'prefill ms':>10} {'tokens/s':>9} {'batch 8':>8} {'MiB':>6}"]
    for name, row in figures.items():
        medians = [row[f"batch_{size}_tokens_per_second"]["median"] for size in (1, LARGE_BATCH)]
        milliseconds = 1e3 * row["prefill_seconds"]["median"]
        resident = row["resident_bytes"] / 2**20
        lines.append(f"{name:24} {milliseconds:10.1f} {medians[0]:9.1f} {medians[1]:8.1f} {resident:6.0f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
