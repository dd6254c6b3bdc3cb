"""A process keeps the memory that it frees, for its next step; and a model outlives a step without memory."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any, Final

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt, in glibc's malloc.h
_MOST: Final = 2**31 - 1  # bytes; what is free at the end of the heap beyond that is given back
_CONTAINER = Path("/sys/fs/cgroup/memory.max")  # bytes, or "max"
_ENVIRONMENT = ("MALLOC_", "GLIBC_TUNABLES")  # how beginnings of variables set the same from outside


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep blocks of 32 MiB and more that are freed, too; `fit` and `evaluate` call it.

    Each step of training asks for the blocks of the one before. By itself glibc maps them anew each time, and
    the system clears every page again: 29,000 pages in each step of a GPT-2 128 wide, half of its processor
    time. Kept, they count to the process until it ends, a tenth more than it had at most. In a thread with an
    arena of its own, such as those of TensorFlow and JAX, glibc maps blocks over 64 MiB all the same: for
    TensorFlow there is `pool_tensors`, for JAX ``MALLOC_ARENA_MAX=1 MALLOC_MMAP_MAX_=0
    MALLOC_TRIM_THRESHOLD_=2147483647`` in the environment.

    Where the environment says how memory is to be had (``MALLOC_MMAP_MAX_``, ``GLIBC_TUNABLES`` and others of
    that manual), that stands.

    Returns:
        Whether it is so now: not outside of Linux, nor with another C library.
    """
    if sys.platform != "linux" or any(name.startswith(_ENVIRONMENT) for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all((mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, _MOST)))


def pool_tensors() -> None:
    """Let TensorFlow keep a pool of memory on the CPU, as it does on a GPU; the modules of models call it.

    TensorFlow reads this with its first tensor and not again. What was freed comes from the pool again, in
    whatever thread. The pool ends at the memory of the machine or container, where the C library would go on
    until the system kills the process. What the environment says stands, such as
    ``TF_CPU_ALLOCATOR_USE_BFC=0``.
    """
    limits = []
    with suppress(OSError, ValueError):
        limits.append(int(_CONTAINER.read_text()))
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if limits:  # else TensorFlow ends it at 64 GiB
        os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(min(limits) // 2**20))
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")


def outlived(step: Callable[..., Any], variables: Callable[[], Iterable[Any]]) -> Callable[..., Any]:
    """TensorFlow's step, after which the process goes on also where there was no memory for it.

    Its compiled step has freed then what it was to overwrite; freed again with the model, that would end the
    process, at its exit or before. So the variables stay for good, with values of no use.

    Args:
        step: what may raise TensorFlow's error.
        variables: what it may overwrite, Keras variables.
    """

    @wraps(step)
    def call(*arguments: Any) -> Any:
        try:
            return step(*arguments)
        except Exception as error:
            if type(error).__name__ == "ResourceExhaustedError":
                for variable in variables():
                    for copy in getattr(variable.value, "values", [variable.value]):  # one on each device
                        ctypes.pythonapi.Py_IncRef(ctypes.py_object(copy.handle))
            raise

    return call
