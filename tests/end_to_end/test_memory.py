"""Many mixed requests leave the memory of a process where it was."""

import itertools
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import gc, json, sys
from threading import Thread

import numpy as np

from kerasgpt import ContinuousBatching, GenerationConfig, load

lm = load(sys.argv[1], "onnx", num_threads=1, prefix_cache_tokens=int(sys.argv[2]))
generator = np.random.default_rng(0)
SETTINGS = [
    GenerationConfig(max_new_tokens=12),
    GenerationConfig(max_new_tokens=5, temperature=1.0, top_p=0.9, stop=("e",)),
    GenerationConfig(max_new_tokens=8, num_beams=3),
    GenerationConfig(max_new_tokens=20, prompt_lookup_num_tokens=7),
    GenerationConfig(max_new_tokens=9, temperature=1.0, num_return_sequences=2, echo=True),
    GenerationConfig(max_new_tokens=30, repetition_penalty=1.2),
]

def prompts(count):
    return [generator.integers(0, 250, size).tolist() for size in generator.integers(1, 90, count)]

def some_requests(model):
    for settings in SETTINGS:
        model.generate(prompts(5), settings)
        if settings.num_return_sequences == 1:
            "".join(model.stream(prompts(1)[0], settings))
    next(model.stream(prompts(1)[0], SETTINGS[0]))  # and never again
    model.score(prompts(3), [[1, 2]] * 3)

def resident_bytes():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096

with ContinuousBatching(lm, max_batch_size=4, prefill_tokens=32) as batching:
    sizes = []
    for _ in range(6):
        for _ in range(5):
            some_requests(lm)
            threads = [Thread(target=some_requests, args=(batching,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        sizes.append(resident_bytes())
print(json.dumps(sizes))
"""


def growth_bytes(bundle: Path, prefix_cache_tokens: int) -> float:
    """How much more is resident after a round, the median of those after the first.

    A leak grows in every round; where threads come together otherwise than before, a round may well take some
    memory more.
    """
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(bundle), str(prefix_cache_tokens)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    _, *sizes = json.loads(result.stdout)
    return statistics.median(later - sooner for sooner, later in itertools.pairwise(sizes))


@pytest.mark.slow
def test_memory_is_flat(bundle):
    assert growth_bytes(bundle, prefix_cache_tokens=500) < 1_000_000


@pytest.mark.slow
def test_a_leak_would_be_noticed(bundle):
    """A cache without a bound keeps the state after every prompt."""
    assert growth_bytes(bundle, prefix_cache_tokens=10**9) > 3_000_000
