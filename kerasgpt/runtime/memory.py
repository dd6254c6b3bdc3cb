"""Where weights lie in memory: in huge pages if asked for, and not twice, in a mapped file and packed."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from kerasgpt.errors import UsageError

SMALLEST_MOVED: Final = 4 * 2**20  # bytes of a region that is worth it
SMALLEST_RELEASED: Final = 32 * 2**20
_HUGE_PAGE: Final = 2 * 2**20
_FILE_PAGE: Final = np.uint64(1 << 61)  # of an entry of /proc/self/pagemap, as the next
_PRESENT: Final = np.uint64(1 << 63)
_DONTNEED, _COLLAPSE = 4, 25  # Linux's MADV_...
_OWN: Final = Path("/proc/self")


def use_huge_pages() -> int:
    """Copy the large regions of this process's memory into pages of 2 MiB, so far as there are any to be had.

    Whoever reads all weights for each token looks up fewer pages then. It takes some 2 seconds a gigabyte.
    Files that are mapped stay as they are.

    Returns:
        Bytes that lie in huge pages now.

    Raises:
        UsageError: the system has no such pages.
    """
    lines = _lines("smaps")
    regions = list(_large_regions(lines))
    for start, end in regions:
        first = -(-start // _HUGE_PAGE) * _HUGE_PAGE
        # What it answers tells little: it is an error too where all pages of a region but one were moved.
        _advise(first, end // _HUGE_PAGE * _HUGE_PAGE - first, _COLLAPSE)
    moved = 1024 * sum(int(line.split()[1]) for line in _lines("smaps") if line.startswith("AnonHugePages:"))
    if not lines or (regions and not moved):
        raise UsageError(
            "huge_pages: this system gives none: it takes Linux 6.1 or later with transparent huge pages;"
            " leave the setting out"
        )
    return moved


def release_mapped(file: Path) -> None:
    """Let go of the pages of a mapped file that were read once, while its weights were packed elsewhere.

    Those that are read again, as a table's rows are, come back from the system's cache of the file one by
    one. Does nothing for small files, and where the system is not Linux.
    """
    for start, end in _mapped_regions(_lines("maps"), str(file.resolve())):
        if end - start >= SMALLEST_RELEASED and _is_as_in_file(start, end):
            _advise(start, end - start, _DONTNEED)


def _large_regions(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Where the large regions begin and end that are not a file's and that are in use, at least by half."""
    start = end = 0
    for line in lines:
        first, *others = line.split()
        if not first.endswith(":"):
            start, end = _ends(first)
        elif first == "Anonymous:" and int(others[0]) * 1024 >= max(SMALLEST_MOVED, (end - start) // 2):
            yield start, end


def _mapped_regions(lines: list[str], path: str) -> Iterator[tuple[int, int]]:
    """Where a file is mapped."""
    for line in lines:
        first, _, _, _, _, *name = line.split(maxsplit=5)
        if name == [path]:
            yield _ends(first)


def _is_as_in_file(start: int, end: int) -> bool:
    """Whether no page of a mapped file was written to, which would make it this process's own.

    Where the system does not tell, as in some containers, they may all have been.
    """
    count, offset = (end - start) // mmap.PAGESIZE, start // mmap.PAGESIZE * 8
    try:
        entries = np.fromfile(_OWN / "pagemap", np.uint64, count, offset=offset)
    except OSError:
        return False
    return len(entries) == count and not ((entries & _PRESENT > 0) & (entries & _FILE_PAGE == 0)).any()


def _ends(words: str) -> tuple[int, int]:
    start, end = words.split("-")
    return int(start, 16), int(end, 16)


def _lines(name: str) -> list[str]:
    """Those of a file about this process, none where the system has no such file."""
    try:
        return (_OWN / name).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _advise(start: int, size: int, advice: int) -> None:
    ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), advice)
