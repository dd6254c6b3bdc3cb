"""Encode whole texts with one thread, the engines in turns: ``encode_speed.py PATH... [--out FILE]``.

GPT-2's vocabulary; medians over the rounds, megabytes of UTF-8 a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tiktoken
import tokenizers
from machine import machine, versions
from tiktoken_ext.openai_public import r50k_pat_str

from kerasgpt.atomic import write_text
from kerasgpt.tokenizer.bpe import Tokenizer

ROUNDS = 5


def engines() -> dict[str, Callable[[str], Any]]:
    """Name -> what encodes a text with GPT-2's vocabulary."""
    ours = Tokenizer.from_preset("gpt2")
    ours.encode("long enough for tiktoken " * 10_000)
    ranks = {piece: index for index, piece in enumerate(ours.pieces) if piece}
    theirs = tiktoken.Encoding("reference", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={})
    library = tokenizers.Tokenizer.from_str(ours._backend.to_str())
    return {
        "ours": ours.encode,
        "tiktoken": theirs.encode_ordinary,
        "tokenizers": lambda text: library.encode(text, add_special_tokens=False).ids,
    }


def megabytes_per_second(text: str) -> dict[str, list[float]]:
    """Speeds of each engine, one a round."""
    num_bytes = len(text.encode())
    table = engines()
    speeds: dict[str, list[float]] = {name: [] for name in table}
    for _ in range(ROUNDS):
        for name, encode in table.items():
            started = time.perf_counter()
            encode(text)
            speeds[name].append(num_bytes / 1e6 / (time.perf_counter() - started))
    return speeds


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = {}
    for path in options.paths:
        speeds = megabytes_per_second(path.read_text(encoding="utf-8"))
        medians = {name: round(statistics.median(values), 2) for name, values in speeds.items()}
        rows[f"{path.parent.name}/{path.name}"] = {
            "num_bytes": path.stat().st_size,
            "megabytes_per_second": medians,
            "range": {name: [round(min(each), 2), round(max(each), 2)] for name, each in speeds.items()},
            "ours_to_tiktoken": round(medians["ours"] / medians["tiktoken"], 2),
            "ours_to_tokenizers": round(medians["ours"] / medians["tokenizers"], 2),
        }
    result = {
        "texts": rows,
        "rounds": ROUNDS,
        "versions": versions("tokenizers", "tiktoken"),
        "machine": {**machine(), "threads_used": 1},
    }
    print(json.dumps(result, indent=2))
    if options.out:
        write_text(options.out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
