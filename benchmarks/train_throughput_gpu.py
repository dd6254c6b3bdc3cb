"""How fast GPT-2's sizes train on one GPU: ours by JAX, beside nanoGPT's own code, and in how much memory.

``python benchmarks/train_throughput_gpu.py --nanogpt CLONE [--peers PYTHON] [--batch-size 12 32 64]
[--size NAME...] [--checkpointing] [--name NAME]``

Windows of 1,024 tokens in mixed bfloat16, without dropout, the vocabulary filled up to 50,304 as nanoGPT
does; nanoGPT under torch.compile, with flash attention and the fused AdamW. The engines of one batch size
take turns in one run, each in a process of its own; medians over the rounds. MFU counts 6 N + 12 L D T a
token (kerasgpt/training/throughput.py) against the data sheet of the GPU, or ``--peak-teraflops``. Ours is
compiled first, by itself: XLA chooses its kernels by timing them. With ``--checkpointing`` ours keeps the
inputs of blocks alone. Adds to benchmarks/results/train_throughput_gpu.json; what the engines say goes to the
.log beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from machine import machine, versions
from train_throughput import Trainer, summary

os.environ.setdefault("KERAS_BACKEND", "jax")

from kerasgpt.artifacts import write_json
from kerasgpt.config import GPT2Config
from kerasgpt.training.devices import Device, choose_device
from kerasgpt.training.settings import TrainConfig
from kerasgpt.training.throughput import flops_per_token, peak_teraflops

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "train_throughput_gpu.json"
SIZES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
SEQUENCE_LENGTH, VOCABULARY_SIZE = 1024, 50304
OURS, NANOGPT = "kerasgpt JAX", "nanoGPT compiled"


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nanogpt", help="a clone of nanoGPT; without it ours alone")
    parser.add_argument("--peers", default=sys.executable, help="Python that has torch")
    parser.add_argument("--size", nargs="*", choices=SIZES, default=["gpt2"])
    parser.add_argument("--batch-size", nargs="*", type=int, default=[12, 32, 64])
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--peak-teraflops", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn, roughly")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--name", default=OURS, help="of ours, with what the environment sets")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    device = choose_device()
    settings = TrainConfig(precision="mixed_bfloat16", peak_teraflops=arguments.peak_teraflops)
    peak = peak_teraflops(settings, device)
    found = json.loads(arguments.out.read_text())["runs"] if arguments.out.is_file() else {}
    for size in arguments.size:
        for batch_size in arguments.batch_size:
            rows = found.setdefault(f"{size}, batch {batch_size}", {})
            rows |= measure(size, batch_size, peak, arguments)
            print(table(f"{size}, batch {batch_size}", rows), flush=True)
            write_json(arguments.out, facts(device) | {"peak_teraflops": peak, "runs": found})


def facts(device: Device) -> dict[str, Any]:
    """What it was measured on."""
    return {"gpu": device.name, "machine": machine(), "versions": versions("keras", "jax", "torch", "numpy")}


def measure(
    size: str, batch_size: int, peak: float, arguments: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Tokens per second, MFU and memory of each engine, one turn a round."""
    config = GPT2Config.from_preset(size, vocabulary_size=VOCABULARY_SIZE)
    shape = {
        "num_layers": config.num_layers,
        "num_heads": config.num_heads,
        "hidden_dim": config.hidden_dim,
        "sequence_length": SEQUENCE_LENGTH,
        "batch_size": batch_size,
        "dropout": 0.0,
        "vocabulary_size": VOCABULARY_SIZE,
        "gradient_checkpointing": arguments.checkpointing,
    }
    engines = HERE / "engines"
    name = arguments.name + (", blocks computed again" if arguments.checkpointing else "")
    ours = [sys.executable, f"{engines}/train_ours.py", json.dumps(shape), "jax", "mixed_bfloat16", "true"]
    log = arguments.out.with_suffix(".log").open("a")
    running = {name: Trainer(ours, log)}
    if arguments.nanogpt:
        command = [arguments.peers, f"{engines}/train_nanogpt.py", json.dumps(shape), arguments.nanogpt]
        running[NANOGPT] = Trainer([*command, "bfloat16", "true"], log)
    rates: dict[str, list[float]] = {name: [] for name in running}
    rows: dict[str, dict[str, Any]] = {}
    for _ in range(arguments.rounds):
        for name, trainer in running.items():
            num_steps = max(2, round(arguments.seconds / trainer.step_seconds))
            answer = trainer.take(num_steps)
            rates[name].append(batch_size * SEQUENCE_LENGTH * num_steps / answer["seconds"])
            speed = summary(rates[name])
            flops = flops_per_token(config, SEQUENCE_LENGTH)
            rows[name] = {
                "tokens_per_second": speed,
                "mfu": round(speed["median"] * flops / (peak * 1e12), 4) if peak else None,
                "gpu_bytes": answer["device_bytes"],
                "loss": answer["loss"],
                "version": trainer.version,
            }
    for trainer in running.values():
        trainer.end()
    return rows


def table(title: str, rows: dict[str, dict[str, Any]]) -> str:
    """The medians for people."""
    lines = [f"{title:42} {'tokens/s':>9} {'lowest':>9} {'highest':>9} {'MFU':>6} {'GiB':>6}"]
    for name, row in rows.items():
        median, lowest, highest = row["tokens_per_second"].values()
        use = f"{row['mfu']:6.1%}" if row["mfu"] else f"{'':6}"
        lines.append(
            f"{name:42} {median:9.0f} {lowest:9.0f} {highest:9.0f} {use} {row['gpu_bytes'] / 2**30:6.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
