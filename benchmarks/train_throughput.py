"""How fast each engine trains: ours in each precision, nanoGPT's own code, and keras-hub under `fit`.

``python benchmarks/train_throughput.py --peers PYTHON --nanogpt CLONE [--only NAME...]``

One model, batch and precision for all, at nanoGPT's two settings for shakespeare-char. Each engine runs in
a process of its own, and they take turns, so that whatever else the machine does falls on all of them
alike; medians over the rounds, and the most memory that a process has held. ``--peers`` names the Python of
an environment with train_throughput.requirements.txt in it, ``--nanogpt`` a clone of nanoGPT; without
these, ours alone. ``--restart`` ends each process after its turn, where memory does not hold all of them at
once. With ``--only`` the figures are added to those of the file. Writes
benchmarks/results/train_throughput.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from machine import machine, versions

from kerasgpt.artifacts import write_json

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "train_throughput.json"
LETTERS = 65  # of tinyshakespeare, as nanoGPT takes them

SHAPES: dict[str, dict[str, Any]] = {
    "large": {
        "num_layers": 6,
        "num_heads": 6,
        "hidden_dim": 384,
        "sequence_length": 256,
        "batch_size": 64,
        "dropout": 0.2,
        "vocabulary_size": LETTERS,
    },
    "small": {
        "num_layers": 4,
        "num_heads": 4,
        "hidden_dim": 128,
        "sequence_length": 64,
        "batch_size": 12,
        "dropout": 0.0,
        "vocabulary_size": LETTERS,
    },
}

# name -> (script in engines/, its arguments after the shape)
OURS: dict[str, tuple[str, ...]] = {
    "kerasgpt float32 TF+XLA": ("train_ours", "tensorflow", "float32", "true"),
    "kerasgpt float32 TF": ("train_ours", "tensorflow", "float32", "false"),
    "kerasgpt bfloat16 TF+XLA": ("train_ours", "tensorflow", "mixed_bfloat16", "true"),
    "kerasgpt bfloat16 TF": ("train_ours", "tensorflow", "mixed_bfloat16", "false"),
    "kerasgpt float32 JAX": ("train_ours", "jax", "float32", "true"),
}
NANOGPT: dict[str, tuple[str, ...]] = {
    "nanoGPT float32": ("train_nanogpt", "{nanogpt}", "float32", "false"),
    "nanoGPT float32 compiled": ("train_nanogpt", "{nanogpt}", "float32", "true"),
    "nanoGPT bfloat16": ("train_nanogpt", "{nanogpt}", "bfloat16", "false"),
}
KERAS_HUB: dict[str, tuple[str, ...]] = {
    "keras-hub float32 TF+XLA": ("train_kerashub", "tensorflow", "float32", "true"),
    "keras-hub float32 TF": ("train_kerashub", "tensorflow", "float32", "false"),
    "keras-hub float32 JAX": ("train_kerashub", "jax", "float32", "true"),
}


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="Python of the environment with the other programs")
    parser.add_argument("--nanogpt", help="a clone of nanoGPT")
    parser.add_argument("--shape", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--batch-size", type=int, help="for all, in place of the settings' own")
    parser.add_argument("--only", nargs="*", help="beginnings of engines' names")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a turn, roughly")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--restart", action="store_true", help="end each process after its turn")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = json.loads(arguments.out.read_text())["shapes"] if arguments.out.is_file() else {}
    for name in arguments.shape:
        size = arguments.batch_size or SHAPES[name]["batch_size"]
        shape = SHAPES[name] | {"batch_size": size}
        commands = engines(shape, arguments)
        before = found.get(name, {})
        rows = before.get("engines", {}) if before.get("shape") == shape else {}
        rows |= measure(commands, shape, arguments)
        found[name] = {"shape": shape, "engines": rows}
        print(f"{name}, batch {size}\n{table(rows)}")
    facts = {"machine": machine(), "versions": versions("tensorflow", "keras", "jax", "numpy")}
    write_json(arguments.out, {**facts, "shapes": found})


def engines(shape: dict[str, Any], arguments: argparse.Namespace) -> dict[str, list[str]]:
    """Name -> the command that runs it."""
    chosen = {name: (sys.executable, command) for name, command in OURS.items()}
    if arguments.peers:
        others = KERAS_HUB | (NANOGPT if arguments.nanogpt else {})
        chosen |= {name: (arguments.peers, command) for name, command in others.items()}
    wanted = tuple(arguments.only or [""])
    return {
        name: [
            python,
            str(HERE / f"engines/{script}.py"),
            json.dumps(shape),
            *[part.format(nanogpt=arguments.nanogpt) for part in rest],
        ]
        for name, (python, (script, *rest)) in chosen.items()
        if name.startswith(wanted)
    }


class Trainer:
    """A process that takes steps, see engines/steps.py.

    Args:
        command: that starts it.
        log: where to write what it says beside its answers.
    """

    def __init__(self, command: list[str], log: IO[str] | int = subprocess.DEVNULL) -> None:
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        self.version = self._answer()["version"]
        self.take(1)  # compiles
        num_steps, seconds = 1, self.take(2)["seconds"]
        while seconds < 1.0:  # `fit` takes some time to begin
            num_steps *= 4
            seconds = self.take(num_steps)["seconds"]
        self.step_seconds = seconds / num_steps

    def take(self, num_steps: int) -> dict[str, Any]:
        """Let it train."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"num_steps": num_steps}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def peak_bytes(self) -> int:
        """The most memory that it has held."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024

    def end(self) -> None:
        """Let it go."""
        self._process.kill()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = next((line for line in self._process.stdout if line.startswith("{")), "")
        if not line:
            raise RuntimeError(f"no answer from {' '.join(self._process.args)}")  # type: ignore[arg-type]
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure(
    commands: dict[str, list[str]], shape: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Tokens per second of each engine, one turn a round."""
    tokens = shape["batch_size"] * shape["sequence_length"]
    running: dict[str, Trainer] = {}
    rates: dict[str, list[float]] = {name: [] for name in commands}
    facts: dict[str, dict[str, Any]] = {}
    for number in range(arguments.rounds):
        for name, command in commands.items():
            trainer = running.get(name) or Trainer(command)
            num_steps = max(2, round(arguments.seconds / trainer.step_seconds))
            answer = trainer.take(num_steps)
            rates[name].append(tokens * num_steps / answer["seconds"])
            peak = max(trainer.peak_bytes(), facts.get(name, {}).get("peak_bytes", 0))
            facts[name] = {"version": trainer.version, "peak_bytes": peak, "loss": answer["loss"]}
            print(f"{number + 1} {name}: {rates[name][-1]:.0f}", file=sys.stderr, flush=True)
            if arguments.restart:
                trainer.end()
            else:
                running[name] = trainer
    for trainer in running.values():
        trainer.end()
    return {
        name: {"num_rounds": arguments.rounds, "tokens_per_second": summary(rates[name]), **facts[name]}
        for name in commands
    }


def summary(values: list[float]) -> dict[str, float]:
    """The median, and the range that says how quiet the machine was."""
    return {
        "median": round(statistics.median(values), 1),
        "lowest": round(min(values), 1),
        "highest": round(max(values), 1),
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The medians for people."""
    lines = [f"{'engine':26} {'tokens/s':>9} {'lowest':>9} {'highest':>9} {'MiB':>6}"]
    for name, row in rows.items():
        median, lowest, highest = row["tokens_per_second"].values()
        lines.append(f"{name:26} {median:9.0f} {lowest:9.0f} {highest:9.0f} {row['peak_bytes'] / 2**20:6.0f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
