"""Large blocks that were freed are there again without a page of them being cleared once more."""

import json
import os
import subprocess
import sys

import pytest

from kerasgpt import freed_memory

# Pages cleared while a block of 64 MiB is taken, filled and freed, ten times.
PROGRAM = """
import ctypes, json, resource
from kerasgpt.freed_memory import keep_freed_memory

library, size = ctypes.CDLL(None), 64 * 2**20
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        block = library.malloc(size)
        library.memset(block, 1, size)
        library.free(block)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()

before = cleared()
print(json.dumps([keep_freed_memory(), before, cleared()]))
"""

# The same of the model's own fit and evaluate.
FIT = """
import json, sys
import keras, numpy as np
from kerasgpt import GPT2CausalLM, GPT2Config, freed_memory

model = GPT2CausalLM(GPT2Config(20, 8, 1, 1, 4))
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
before = freed_memory.keep_freed_memory.cache_info().currsize
getattr(model, sys.argv[1])(*np.zeros((2, 1, 4), "int32"), verbose=0)
print(json.dumps([before, freed_memory.keep_freed_memory.cache_info().currsize]))
"""

# Pages cleared for a tensor of 64 MiB, made and dropped ten times, after one of them; and the pool's end.
TENSORS = """
import json, os, resource
import tensorflow as tf
from kerasgpt import GPT2CausalLM

def cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        tf.fill([16, 2**20], 1.0)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()

tf.fill([16, 2**20], 1.0)
memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
print(json.dumps([cleared(), memory // 2**20 - int(os.environ["TF_CPU_BFC_MEM_LIMIT_IN_MB"])]))
"""

# A step that finds no memory, whose model goes, and one of another model that does; 64 MiB in all.
TOO_LARGE = """
import gc, json
import keras, numpy as np
from kerasgpt import GPT2CausalLM, GPT2Config

def fit(batch_size):
    model = GPT2CausalLM(GPT2Config(300, 16, 1, 2, 16))
    model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=True)
    ids = np.zeros((batch_size, 16), "int32")
    model.fit(ids, ids, batch_size, verbose=0)

try:
    fit(4000)
    error = None
except Exception as caught:
    error = type(caught).__name__
gc.collect()
fit(2)
print(json.dumps(error))
"""


def answer(program, *arguments, **variables):
    outside = ("MALLOC_", "GLIBC_TUNABLES", "TF_CPU_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    command = [sys.executable, "-c", program, *arguments]
    child = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    return json.loads(child.stdout.splitlines()[-1])


def test_blocks_are_cleared_once_and_not_again():
    is_kept, before, after = answer(PROGRAM)
    assert is_kept
    assert before > 9 * 64 * 2**20
    assert after < 2 * 64 * 2**20


def test_what_the_environment_says_stands():
    is_kept, before, after = answer(PROGRAM, MALLOC_ARENA_MAX="2")
    assert not is_kept
    assert after > before / 2


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_a_model_asks_for_it(method):
    assert answer(FIT, method) == [0, 1]


def test_tensors_come_from_a_pool_of_the_machines_size():
    cleared, difference = answer(TENSORS)
    assert cleared < 64 * 2**20
    assert difference == 0


def test_a_pool_left_out_or_ended_by_the_environment_stays_so():
    cleared, difference = answer(TENSORS, TF_CPU_ALLOCATOR_USE_BFC="0", TF_CPU_BFC_MEM_LIMIT_IN_MB="0")
    assert cleared > 9 * 64 * 2**20
    assert difference > 0


def test_a_process_goes_on_after_a_step_without_memory():
    assert answer(TOO_LARGE, TF_CPU_BFC_MEM_LIMIT_IN_MB="64") == "ResourceExhaustedError"


@pytest.mark.parametrize(("said", "limit"), [("max\n", None), (f"{3 * 2**20}\n", "3"), (f"{2**62}\n", None)])
def test_a_container_may_have_less_memory_than_its_machine(monkeypatch, tmp_path, said, limit):
    (tmp_path / "memory.max").write_text(said)
    monkeypatch.setattr(freed_memory, "_CONTAINER", tmp_path / "memory.max")
    monkeypatch.setenv("TF_CPU_BFC_MEM_LIMIT_IN_MB", "")  # and afterwards as it was
    monkeypatch.delenv("TF_CPU_BFC_MEM_LIMIT_IN_MB")
    monkeypatch.setenv("TF_CPU_ALLOCATOR_USE_BFC", "0")
    freed_memory.pool_tensors()
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    assert os.environ["TF_CPU_BFC_MEM_LIMIT_IN_MB"] == (limit or str(machine))
    assert os.environ["TF_CPU_ALLOCATOR_USE_BFC"] == "0"


def test_where_there_is_no_such_thing_nothing_happens(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert not freed_memory.keep_freed_memory.__wrapped__()
