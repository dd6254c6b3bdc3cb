"""A process keeps the memory that it frees, for its next step."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Final

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt, in glibc's malloc.h
_MOST: Final = 2**31 - 1  # bytes; what is free at the end of the heap beyond that is given back
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
    whatever thread. The pool ends at the machine's memory, where the C library would go on until the system
    kills the process. What the environment says of either, such as ``TF_CPU_ALLOCATOR_USE_BFC=0``, stands.
    """
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:  # else TensorFlow ends it at 64 GiB
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
        os.environ.setdefault("TF_CPU_BFC_MEM_LIMIT_IN_MB", str(most))
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
