"""How fast data becomes batches: ``PATH... [--rounds N] [--steps N] [--out FILE]``.

Encodes the texts with GPT-2's vocabulary by one thread and by one a core, in turn; makes batches of several
shapes, plain, mixed from two halves, with a mask for documents, and in a computed order, in turn; and trains
a small model (4 layers, 128 wide, batches of 12 windows of 64) to see which share of a step its batch takes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from machine import machine, versions

from kerasgpt.atomic import write_text
from kerasgpt.config import GPT2Config
from kerasgpt.data import windows
from kerasgpt.data.packing import PackedCorpus, pack
from kerasgpt.data.pipeline import TokenDataset
from kerasgpt.data.splits import Split
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer

SHAPES = ((12, 64), (64, 256), (32, 1024))
BATCHES = 200


def spread(values: list[float], digits: int = 1) -> dict[str, float]:
    """The median, and the range beside it."""
    rounded = [round(value, digits) for value in values]
    return {"median": round(statistics.median(values), digits), "min": min(rounded), "max": max(rounded)}


def encoding(paths: list[Path], tokenizer: Tokenizer, rounds: int) -> dict[str, Any]:
    """Megabytes of text a second, by number of threads."""
    found: dict[int, list[float]] = {1: [], os.cpu_count() or 1: []}
    megabytes = sum(path.stat().st_size for path in paths) / 1e6
    for _ in range(rounds):
        for num_workers, speeds in found.items():
            with tempfile.TemporaryDirectory() as cache:
                began = time.perf_counter()
                pack(paths, tokenizer, Split(), num_workers=num_workers, cache=cache)
                speeds.append(megabytes / (time.perf_counter() - began))
    return {f"megabytes_per_second_{count}_threads": spread(speeds) for count, speeds in found.items()}


def kinds(corpus: PackedCorpus, end_of_text_id: int) -> dict[str, Callable[[int, int], TokenDataset]]:
    """The ways to make batches."""
    ids = corpus.ids("train")
    halves = [ids[: len(ids) // 2], ids[len(ids) // 2 :]]

    def computed(batch_size: int, length: int) -> TokenDataset:
        data = TokenDataset(ids, length, batch_size, 0)
        windows.HELD_SLOTS, held = 0, windows.HELD_SLOTS
        data.batch(0)  # makes the plan of the epoch
        windows.HELD_SLOTS = held
        return data

    return {
        "plain": lambda batch_size, length: TokenDataset(ids, length, batch_size, 0),
        "mixed": lambda batch_size, length: TokenDataset(halves, length, batch_size, 0, weights=(7, 3)),
        "masked": lambda batch_size, length: TokenDataset(
            ids, length, batch_size, 0, end_of_text_id=end_of_text_id
        ),
        "computed_order": computed,
    }


def batches(corpus: PackedCorpus, end_of_text_id: int, rounds: int) -> dict[str, Any]:
    """Batches a second of each shape and kind, and the tokens in them."""
    result = {}
    for batch_size, length in SHAPES:
        made = {name: make(batch_size, length) for name, make in kinds(corpus, end_of_text_id).items()}
        speeds: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(rounds):
            for name, data in made.items():
                steps = min(BATCHES, data.steps_per_epoch)
                began = time.perf_counter()
                for step in range(steps):
                    data.batch(step)
                speeds[name].append(steps / (time.perf_counter() - began))
        result[f"{batch_size}x{length}"] = {
            name: {
                "batches_per_second": spread(values, 0),
                "tokens_per_second": round(statistics.median(values) * batch_size * length),
            }
            for name, values in speeds.items()
        }
    return result


class Timed(keras.callbacks.Callback):
    """Seconds between the end of the first step, with its compilation, and the end of the last."""

    def __init__(self, data: TokenDataset) -> None:
        super().__init__()
        self.data = data

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clocks after the first step."""
        if batch == 0:
            self.began, self.waited_before = time.perf_counter(), self.data.waited_seconds

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Read them."""
        self.seconds = time.perf_counter() - self.began
        self.waited = self.data.waited_seconds - self.waited_before


def share_of_step(corpus: PackedCorpus, vocabulary_size: int, steps: int) -> dict[str, Any]:
    """Train, and say what part of the time went into batches, at most."""
    config = GPT2Config(vocabulary_size, max_sequence_length=64, num_layers=4, num_heads=4, hidden_dim=128)
    model = GPT2CausalLM(config)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    model.compile(keras.optimizers.AdamW(1e-3), loss, jit_compile=True)
    data = TokenDataset(corpus.ids("train"), 64, 12, 0, num_steps=steps)
    timed = Timed(data)
    model.fit(data, epochs=1, shuffle=False, verbose=0, callbacks=[timed])
    return {
        "vocabulary_size": vocabulary_size,
        "step_milliseconds": round(timed.seconds / (steps - 1) * 1e3, 2),
        "batch_milliseconds": round(timed.waited / (steps - 1) * 1e3, 3),
        "share_of_step_percent": round(100 * timed.waited / timed.seconds, 2),
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, help="UTF-8 texts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    tokenizer = Tokenizer.from_preset("gpt2")
    small = Tokenizer.learn((path.read_text(encoding="utf-8") for path in options.paths), 1024)
    with tempfile.TemporaryDirectory() as cache:
        corpus = pack(options.paths, tokenizer, Split(), cache=cache)
        learned = pack(options.paths, small, Split(), cache=cache)
        result = {
            "num_tokens": corpus.sizes["train"].num_tokens,
            "encoding": encoding(options.paths, tokenizer, options.rounds),
            "batches": batches(corpus, tokenizer.end_of_text_id, options.rounds),
            "training": share_of_step(learned, small.vocabulary_size, options.steps),
            "texts": [f"{path.parent.name}/{path.name}" for path in options.paths],
            "versions": versions("keras", "tensorflow", "tiktoken", "numpy"),
            "machine": machine(),
        }
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
