"""Hundreds of good, bad and huge requests to a SavedModel: each is answered or refused, and memory stays."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, os, random, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.modules["keras"] = None
import tensorflow as tf

loaded = tf.saved_model.load(sys.argv[1] + "/saved_model/1")
signatures = loaded.signatures
draw = random.Random(0)

def text(length):
    return "".join(draw.choice("abc dé北\\n") for _ in range(length)).encode()

def settings(rows, **changes):
    values = {"max_new_tokens": 8, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0,
              "repetition_penalty": 1.0, "seed": 3, "stop": ""} | changes
    dtypes = {"max_new_tokens": tf.int64, "top_k": tf.int64, "seed": tf.int64, "stop": tf.string}
    tensors = {name: tf.constant(value, dtypes.get(name, tf.float32)) for name, value in values.items()}
    return {name: tf.fill([rows], tensor) for name, tensor in tensors.items()}

def generate(rows=1, length=20, **changes):
    prompts = tf.constant([text(length) for _ in range(rows)])
    outputs = signatures["generate"](prompts=prompts, **settings(rows, **changes))
    return {name: tensor.numpy() for name, tensor in outputs.items()}

def refused(call):
    try:
        call()
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, TypeError, ValueError):
        return
    raise AssertionError("it was answered")

def logits(row, length):
    ids, lengths = tf.constant([row], tf.int64), tf.constant([length], tf.int64)
    return signatures["logits"](input_ids=ids, lengths=lengths)

REQUESTS = [
    lambda: generate(draw.choice([1, 2, 5]), draw.choice([0, 1, 30, 500])),
    lambda: generate(3, 40, temperature=1.0, top_p=0.9, max_new_tokens=draw.randrange(100)),
    lambda: generate(2, 10, stop="e", repetition_penalty=1.3),
    lambda: errors(generate(2, 10, max_new_tokens=-5), 2),
    lambda: errors(generate(2, 10, temperature=float("nan")), 2),
    lambda: generate(1, 10, max_new_tokens=2**62),
    lambda: errors(generated_ids([[10**9, 1, 2]]), 1),
    lambda: signatures["score"](prompts=tf.constant([text(9)]), continuations=tf.constant([text(9)])),
    lambda: signatures["embed"](prompts=tf.constant([text(50)] * 4)),
    lambda: refused(lambda: signatures["generate"](prompts=tf.constant([1, 2]), **settings(2))),
    lambda: refused(lambda: signatures["generate"](prompts=tf.constant("a"), **settings(1))),
    lambda: refused(lambda: signatures["generate"](prompts=tf.constant(["a"] * 3), **settings(2))),
    lambda: refused(lambda: logits([10**6], 1)),
    lambda: refused(lambda: logits([1, 2, 3], 9)),
]

def generated_ids(rows):
    lengths = tf.constant([len(rows[0])] * len(rows), tf.int64)
    ids = tf.constant(rows, tf.int64)
    return signatures["generate_tokens"](input_ids=ids, lengths=lengths, **settings(len(rows)))

def errors(outputs, rows):
    found = tf.convert_to_tensor(outputs["error"]).numpy().tolist()
    assert len(found) == rows and all(found), found

def resident_bytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

sizes = []
for number in range(500):
    draw.choice(REQUESTS)()
    if number == 100:
        generate(1, 10_000_000)   # 10 MB or more
        large = generate(1000, 30)
        assert large["text"].shape == (1000,)
    if number % 100 == 99:
        sizes.append(resident_bytes())
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
print(json.dumps({"sizes": sizes, "peak": peak}))
"""


@pytest.fixture(scope="module")
def memory(bundle: Path) -> dict[str, Any]:
    """Resident bytes after each hundred requests, and the peak."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(bundle)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.slow
def test_every_request_is_answered_or_refused_and_memory_is_bounded(memory: dict[str, Any]) -> None:
    # The largest requests are among the second hundred; after it nothing grows.
    assert memory["sizes"][-1] - memory["sizes"][1] < 60_000_000, memory
    assert memory["peak"] < 3_000_000_000, memory
