"""Compare the tokenizer in the graph with the `tokenizers` library, one thread each; prints JSON."""

import json
import os
import platform
import time
from collections.abc import Callable
from importlib import resources
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.tokenizer.bpe import Tokenizer

BATCH_SIZE = 64
REPEATS = 3


def best_seconds(work: Callable[[Any], Any], batches: list[Any]) -> float:
    """Encode all batches several times; the fastest run counts."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        for batch in batches:
            work(batch)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    text = (resources.files("kerasgpt") / "assets" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)[:12_800]
    num_bytes = len("".join(lines).encode())
    batches = [lines[start : start + BATCH_SIZE] for start in range(0, len(lines), BATCH_SIZE)]
    tokenizer = Tokenizer.from_preset("gpt2")
    graph = InGraphTokenizer.from_tokenizer(tokenizer)
    encode = tf.function(graph.encode, input_signature=[tf.TensorSpec([None], tf.string)])
    encode(batches[0])
    library = best_seconds(tokenizer.encode_batch, batches)
    in_graph = best_seconds(encode, [tf.constant(batch) for batch in batches])
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread used",
        "batch_size": BATCH_SIZE,
        "library_megabytes_per_second": round(num_bytes / library / 1e6, 2),
        "in_graph_megabytes_per_second": round(num_bytes / in_graph / 1e6, 2),
        "in_graph_milliseconds_per_batch": round(1e3 * in_graph / len(batches), 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
