"""Tokenizers in tf.data, ours and keras-hub's, and `tokenizers` beside: ``PATH [--rounds N] [--out FILE]``.

Batches of 64 lines, one thread, GPT-2's vocabulary. Each round makes every tokenizer anew, warms it up with a
batch, and times two epochs, since keras-hub remembers words from the first; the engines take turns and the
figures are medians over the rounds. Needs the environment of tokenize_in_graph.requirements.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
import tokenizers
from keras_hub.tokenizers import GPT2Tokenizer
from machine import machine, versions

from kerasgpt.artifacts import MERGES, TOKENIZER, VOCABULARY
from kerasgpt.atomic import write_text
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.tokenizer.bpe import Tokenizer

BATCH_SIZE = 64
EPOCHS = 2
Batches = Iterable[Any]


def mapped(lines: list[str], encode: Callable[[Any], Any]) -> Batches:
    """Lines in batches, encoded in tf.data."""
    return tf.data.Dataset.from_tensor_slices(lines).batch(BATCH_SIZE).map(encode)


def in_graph(folder: Path, lines: list[str]) -> Batches:
    """Our tokenizer in the graph."""
    return mapped(lines, InGraphTokenizer.from_preset(folder).encode)


def keras_hub(folder: Path, lines: list[str]) -> Batches:
    """keras-hub's tokenizer, which tensorflow-text cuts the words for."""
    paths = {"vocabulary": str(folder / VOCABULARY), "merges": str(folder / MERGES)}
    return mapped(lines, GPT2Tokenizer(**paths).tokenize)


class Library:
    """`tokenizers` over the same batches, in Python."""

    def __init__(self, folder: Path, lines: list[str]) -> None:
        self._library = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))
        self._library.encode_special_tokens = True
        self._lines = lines

    def __iter__(self) -> Any:
        for start in range(0, len(self._lines), BATCH_SIZE):
            batch = self._lines[start : start + BATCH_SIZE]
            yield [encoding.ids for encoding in self._library.encode_batch_fast(batch)]


ENGINES: dict[str, Callable[[Path, list[str]], Batches]] = {
    "in_graph": in_graph,
    "keras_hub": keras_hub,
    "tokenizers": Library,
}


def epoch_seconds(batches: Batches) -> list[float]:
    """How long each epoch took, after one batch to warm up."""
    next(iter(batches))
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        for _ in batches:
            pass
        seconds.append(time.perf_counter() - started)
    return seconds


def num_differing(folder: Path, lines: list[str], name: str) -> int:
    """How many lines have other ids than `tokenizers` gives them."""
    rows = [row for batch in ENGINES[name](folder, lines) for row in batch.to_list()]
    right = [row for batch in Library(folder, lines) for row in batch]
    return sum(row != ids for row, ids in zip(rows, right, strict=True))


def measure(folder: Path, lines: list[str], num_rounds: int) -> dict[str, Any]:
    """Speeds of all engines, and how ours compares."""
    num_bytes = len("".join(lines).encode())
    rounds: dict[str, list[list[float]]] = {name: [] for name in ENGINES}
    for _ in range(num_rounds):
        for name, make in ENGINES.items():
            seconds = epoch_seconds(make(folder, lines))
            rounds[name].append([round(num_bytes / 1e6 / each, 2) for each in seconds])
    medians = {
        name: [round(statistics.median(epoch), 2) for epoch in zip(*speeds, strict=True)]
        for name, speeds in rounds.items()
    }
    return {
        "num_bytes": num_bytes,
        "num_lines": len(lines),
        "megabytes_per_second_of_each_epoch": medians,
        "of_each_round": rounds,
        "in_graph_to_each": {
            name: [round(ours / other, 2) for ours, other in zip(medians["in_graph"], each, strict=True)]
            for name, each in medians.items()
        },
        "lines_with_other_ids_than_tokenizers": {
            name: num_differing(folder, lines, name) for name in ("in_graph", "keras_hub")
        },
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, help="take no more than these, to try it out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    lines = [f"{line}\n" for line in options.path.read_text(encoding="utf-8").split("\n")][: options.lines]
    with tempfile.TemporaryDirectory() as folder:
        Tokenizer.from_preset("gpt2").save_to_preset(folder)
        figures = measure(Path(folder), lines, options.rounds)
    result = {
        "text": f"{options.path.parent.name}/{options.path.name}",
        "batch_size": BATCH_SIZE,
        "num_rounds": options.rounds,
        **figures,
        "versions": versions("tensorflow", "tensorflow-text", "keras", "keras-hub", "tokenizers"),
        "machine": {**machine(), "threads_used": 1},
    }
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
