"""A process's memory in pages of 2 MiB: whoever reads all weights for each token looks up fewer pages."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kerasgpt.errors import UsageError

SMALLEST: Final = 4 * 2**20  # bytes of a region that is worth it
_PAGE: Final = 2 * 2**20
_COLLAPSE: Final = 25  # MADV_COLLAPSE of Linux's <sys/mman.h>
_OWN: Final = Path("/proc/self")


def collapse() -> int:
    """Copy the large regions of this process's memory into huge pages, so far as there are any to be had.

    That takes some 2 seconds a gigabyte. Files that are mapped stay as they are.

    Returns:
        Bytes that lie in huge pages now.

    Raises:
        UsageError: there are large regions, and none could be moved.
    """
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    regions = list(_regions()) if advise else []
    for start, end in regions:
        first = -(-start // _PAGE) * _PAGE
        size = end // _PAGE * _PAGE - first
        # What it answers tells little: it is an error too where all pages of a region but one were moved.
        advise(ctypes.c_void_p(first), ctypes.c_size_t(size), _COLLAPSE)
    moved = _kilobytes("AnonHugePages") * 1024
    if (regions and not moved) or not advise:
        raise UsageError(
            "huge_pages: this system gives none: it takes Linux 6.1 or later with transparent huge pages;"
            " leave the setting out"
        )
    return moved


def _regions() -> Iterator[tuple[int, int]]:
    """Where the large regions begin and end that are not a file's and that are in use, at least by half."""
    start = end = 0
    for line in _lines("smaps"):
        first, *others = line.split()
        if not first.endswith(":"):
            start, end = (int(place, 16) for place in first.split("-"))
        elif first == "Anonymous:" and int(others[0]) * 1024 >= max(SMALLEST, (end - start) // 2):
            yield start, end


def _kilobytes(name: str) -> int:
    """A figure of all of this process's memory."""
    return sum(int(line.split()[1]) for line in _lines("smaps_rollup") if line.startswith(f"{name}:"))


def _lines(name: str) -> list[str]:
    """Those of a file about this process, none where the system has no such file."""
    try:
        return (_OWN / name).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
