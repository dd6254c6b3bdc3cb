"""Tokenizers in tf.data: ours, keras-hub's if installed, and `tokenizers` beside: ``PATH [--out FILE]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
import tokenizers

from kerasgpt.artifacts import MERGES, VOCABULARY
from kerasgpt.atomic import write_text
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.tokenizer.bpe import Tokenizer

BATCH_SIZE = 64
EPOCHS = 2


def epoch_seconds(dataset: Any) -> list[float]:
    """Read a dataset several times; how long each epoch took."""
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        for _ in dataset:
            pass
        seconds.append(time.perf_counter() - started)
    return seconds


def mapped(lines: list[str], encode: Callable[[Any], Any]) -> Any:
    """Lines in batches, encoded in tf.data; warm, as one batch has been encoded before."""
    dataset = tf.data.Dataset.from_tensor_slices(lines).batch(BATCH_SIZE).map(encode)
    for _ in dataset.take(1):
        pass
    return dataset


def keras_hub_encode(tokenizer: Tokenizer) -> Callable[[Any], Any]:
    """keras-hub's tokenizer with the same vocabulary."""
    from keras_hub.tokenizers import GPT2Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_to_preset(folder)
        theirs = GPT2Tokenizer(vocabulary=f"{folder}/{VOCABULARY}", merges=f"{folder}/{MERGES}")
    return theirs.tokenize


def library_seconds(tokenizer: Tokenizer, lines: list[str]) -> list[float]:
    """`tokenizers` over the same batches, one thread, in Python."""
    library = tokenizers.Tokenizer.from_str(tokenizer._backend.to_str())
    batches = [lines[start : start + BATCH_SIZE] for start in range(0, len(lines), BATCH_SIZE)]
    seconds = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        for batch in batches:
            _ = [encoding.ids for encoding in library.encode_batch_fast(batch, add_special_tokens=False)]
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    lines = options.path.read_text(encoding="utf-8").splitlines(keepends=True)
    num_bytes = len("".join(lines).encode())
    tokenizer = Tokenizer.from_preset("gpt2")
    graph = InGraphTokenizer.from_tokenizer(tokenizer)
    seconds = {"in_graph": epoch_seconds(mapped(lines, graph.encode))}
    if util.find_spec("keras_hub"):
        seconds["keras_hub"] = epoch_seconds(mapped(lines, keras_hub_encode(tokenizer)))
    seconds["tokenizers"] = library_seconds(tokenizer, lines)
    result = {
        "text": options.path.name,
        "num_bytes": num_bytes,
        "batch_size": BATCH_SIZE,
        "megabytes_per_second_of_each_epoch": {
            name: [round(num_bytes / each / 1e6, 2) for each in values] for name, values in seconds.items()
        },
        "versions": {name: metadata.version(name) for name in ("tokenizers", "tensorflow")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread used, niceness {os.nice(0)}",
    }
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
