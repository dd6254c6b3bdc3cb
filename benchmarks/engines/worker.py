"""One engine in a process of its own: answers requests from standard input until it ends.

A request is a JSON line {"prompts": [[id, ...], ...], "num_tokens": N}; the answer is a line {"seconds",
"num_tokens", "first_ids"}. The first line of all says what was loaded: {"load_seconds", "version"}.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

Write = Callable[[list[list[int]], int], list[list[int]]]
"""Continues prompts greedily by so many tokens each, whatever they are."""


def serve(version: str, load: Callable[[], Write]) -> None:
    """Load an engine, then time its answers."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # engines print what they like
    started = time.perf_counter()
    write = load()
    loaded = {"load_seconds": time.perf_counter() - started, "version": version}
    print(json.dumps(loaded), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        written = write(request["prompts"], request["num_tokens"])
        seconds = time.perf_counter() - started
        found = {
            "seconds": seconds,
            "num_tokens": sum(map(len, written)),
            "first_ids": written[0][:8],
        }
        print(json.dumps(found), file=answers, flush=True)
