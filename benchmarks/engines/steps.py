"""One trainer in a process of its own: takes so many steps at each request from standard input until it ends.

A request is a JSON line {"num_steps": N}; the answer is a line {"seconds", "loss", "device_bytes"}, the
seconds of the steps after one more that begins the turn: what `fit` does before its first step and after its
last is not a matter of each step. The first line of all says what runs: {"version"}. Shapes come as a JSON
object, see train_throughput.py.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Train = Callable[[int, Callable[[], None]], float]
"""Takes so many steps, calls a function when the first is done and when the last is, and gives its loss."""


def serve(version: str, train: Train, device_bytes: Callable[[], int] = lambda: 0) -> None:
    """Answer requests; engines print what they like, elsewhere.

    Args:
        version: of what trains.
        train: does it.
        device_bytes: the most memory of a GPU that the process has held.
    """
    answers = sys.stdout
    sys.stdout = sys.stderr
    print(json.dumps({"version": version}), file=answers, flush=True)
    ends: list[float] = []
    for line in sys.stdin:
        num_steps = json.loads(line)["num_steps"]
        ends.clear()
        loss = train(num_steps + 1, lambda: ends.append(time.perf_counter()))
        answer = {"seconds": ends[-1] - ends[0], "loss": loss, "device_bytes": device_bytes()}
        print(json.dumps(answer), file=answers, flush=True)


def batch(shape: dict[str, Any], number: int) -> tuple[np.ndarray, np.ndarray]:
    """Random ids and those after them, (B, T) each: their values cost no time."""
    generator = np.random.default_rng(number)
    size = (shape["batch_size"], shape["sequence_length"] + 1)
    ids = generator.integers(0, shape["vocabulary_size"], size, dtype=np.int32)
    return ids[:, :-1], ids[:, 1:]
