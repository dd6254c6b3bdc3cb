"""Validation losses over training at nanoGPT's two settings for shakespeare-char, ours beside its own code.

``python benchmarks/shakespeare_scores.py TEXT [--nanogpt CLONE --peers PYTHON] [--setting small large]
[--stop-at STEP] [--runs FOLDER] [--set KEY=VALUE] [--name NAME]``

TEXT is tinyshakespeare. Ours is `kerasgpt train --config shakespeare-char`, by letters as bytes; nanoGPT's
model is trained as its train.py does, on the 65 letters. Both have the first nine tenths to learn from, and
the same loss is taken of both: nats per letter of all the rest, in windows side by side. Runs go on from
where they were stopped, with ``--stop-at`` before the end of their schedule. Writes
benchmarks/results/shakespeare_scores.json and .png.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from machine import machine, versions
from matplotlib.figure import Figure

from kerasgpt.artifacts import RUN_METRICS, write_json

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "shakespeare_scores.json"
COMMON = {"learning_rate": 1e-3, "warmup_steps": 100}
SETTINGS: dict[str, dict[str, Any]] = {
    "small": {
        **COMMON,
        "num_layers": 4,
        "num_heads": 4,
        "hidden_dim": 128,
        "dropout": 0.0,
        "sequence_length": 64,
        "batch_size": 12,
        "steps": 2000,
        "evaluate_every": 250,
        "precision": "float32",
    },
    "large": {
        **COMMON,
        "num_layers": 6,
        "num_heads": 6,
        "hidden_dim": 384,
        "dropout": 0.2,
        "sequence_length": 256,
        "batch_size": 64,
        "steps": 5000,
        "evaluate_every": 250,
        "precision": "bfloat16",
    },
}
MODEL_FIELDS = ("num_layers", "num_heads", "hidden_dim", "dropout")


def main() -> None:
    """Train, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("--nanogpt", help="a clone of nanoGPT")
    parser.add_argument("--peers", help="Python of an environment with train_throughput.requirements.txt")
    parser.add_argument("--setting", nargs="*", choices=SETTINGS, default=["small"])
    parser.add_argument("--stop-at", type=int, help="step after which to stop")
    parser.add_argument("--runs", type=Path, default=Path("runs/shakespeare_scores"))
    parser.add_argument("--set", action="append", default=[], help="of ours, beyond the setting")
    parser.add_argument("--name", default="kerasgpt", help="of ours, with what is set")
    parser.add_argument("--without-ours", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = json.loads(arguments.out.read_text())["settings"] if arguments.out.is_file() else {}
    for name in arguments.setting:
        setting = SETTINGS[name]
        stop_at = min(arguments.stop_at or setting["steps"], setting["steps"])
        row = found.setdefault(name, {"setting": setting, "losses": {}})
        if not arguments.without_ours:
            run = arguments.runs / f"{arguments.name}-{name}"
            row["losses"][arguments.name] = ours(setting, arguments.text, run, stop_at, arguments.set)
        if arguments.nanogpt:
            run = arguments.runs / f"nanogpt-{name}"
            row["losses"]["nanoGPT"] = nanogpt(setting, arguments, run, stop_at)
        for who, losses in row["losses"].items():
            print(name, who, " ".join(f"{step}: {loss:.4f}" for step, loss in losses))
    facts = {"machine": machine(), "versions": versions("tensorflow", "keras", "numpy")}
    write_json(arguments.out, {**facts, "settings": found})
    plot(found, arguments.out.with_suffix(".png"))


def ours(
    setting: dict[str, Any], text: Path, run: Path, stop_at: int, overrides: list[str]
) -> list[tuple[int, float]]:
    """Step and loss of each evaluation of `kerasgpt train`."""
    settings = {f"model.{name}": setting[name] for name in MODEL_FIELDS}
    names = ("sequence_length", "batch_size", "steps", "learning_rate", "warmup_steps", "evaluate_every")
    settings |= {f"train.{name}": setting[name] for name in names}
    settings |= {"train.final_learning_rate": setting["learning_rate"] / 10, "train.sample_tokens": 0}
    if setting["precision"] == "bfloat16":
        settings |= {"train.precision": "mixed_bfloat16", "train.jit_compile": "false"}
    command = [sys.executable, "-m", "kerasgpt", "train", "--config", "shakespeare-char", "--resume"]
    command += ["--data", str(text), "--out", str(run)]
    for line in [*(f"{key}={value}" for key, value in settings.items()), *overrides]:
        command += ["--set", line]
    if (losses := evaluations(run / RUN_METRICS)) and losses[-1][0] >= stop_at:
        return losses
    process = subprocess.Popen(command)
    while process.poll() is None:
        time.sleep(1)
        losses = evaluations(run / RUN_METRICS)
        if losses and losses[-1][0] >= stop_at:
            if stop_at < setting["steps"]:
                process.send_signal(signal.SIGINT)  # it saves itself
            process.wait()
    if not losses or losses[-1][0] < stop_at:
        raise RuntimeError(f"{run}: training ended before step {stop_at}")
    return evaluations(run / RUN_METRICS)


def nanogpt(
    setting: dict[str, Any], arguments: argparse.Namespace, run: Path, stop_at: int
) -> list[tuple[int, float]]:
    """Step and loss of each evaluation of nanoGPT's own code."""
    script = HERE / "engines" / "shakespeare_nanogpt.py"
    command = [arguments.peers or sys.executable, str(script), json.dumps(setting), arguments.nanogpt]
    subprocess.run([*command, str(arguments.text), str(run), str(stop_at)], check=True, env=dict(os.environ))
    return evaluations(run / "losses.jsonl")


def evaluations(path: Path) -> list[tuple[int, float]]:
    """Step and validation loss of the lines that have them."""
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    return [(row["step"], round(row["validation_loss"], 4)) for row in rows if "validation_loss" in row]


def plot(found: dict[str, Any], path: Path) -> None:
    """Draw the losses of each setting."""
    figure = Figure((4.5 * len(found), 3.6), layout="constrained")
    for axes, (name, row) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        for who, losses in row["losses"].items():
            axes.plot(*zip(*losses, strict=True), "o-", markersize=3, label=who)
        axes.set(title=f"{name} setting", xlabel="step", ylabel="validation loss, nats per letter")
        axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
