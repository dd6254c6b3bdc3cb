"""Weights in other places of memory: the same answers."""

import mmap
from contextlib import suppress

import numpy as np
import pytest

from kerasgpt import load
from kerasgpt.errors import UsageError
from kerasgpt.runtime import memory


def resident_bytes(path) -> int:
    """Of a file's mappings in this process."""
    total, is_it = 0, False
    for line in memory._lines("smaps"):
        first, *others = line.split(maxsplit=5)
        if not first.endswith(":"):
            is_it = others[-1] == str(path)
        elif first == "Rss:" and is_it:
            total += int(others[0]) * 1024
    return total


def test_large_regions_are_moved_and_hold_what_they_held():
    values = np.arange(2**24, dtype=np.float32)  # 64 MiB
    with suppress(UsageError):  # a system that has none says so, see below
        assert memory.use_huge_pages() >= values.nbytes // 2
    np.testing.assert_array_equal(values, np.arange(2**24, dtype=np.float32))


def test_small_regions_and_reserved_ones_are_left_alone():
    lines = ["10000000-20000000 rw-p 00000000 00:00 0", "Size: 262144 kB", "VmFlags: rd", "Anonymous: {} kB"]
    for kilobytes, found in ((4096, []), (131071, []), (131072, [(0x10000000, 0x20000000)])):
        assert list(memory._large_regions([*lines[:3], lines[3].format(kilobytes)])) == found
    small = ["7f0000000000-7f0000400000 rw-p 00000000 00:00 0", "Anonymous: 4096 kB"]
    assert list(memory._large_regions([*small, *lines[:3]])) == [(0x7F0000000000, 0x7F0000400000)]
    assert list(memory._large_regions(["0-400000 r--p 0 0:0 7 /weights", "Anonymous: 0 kB"])) == []


@pytest.mark.parametrize("smaps", [None, "0-400000 rw-p 0 0:0 0\nAnonymous: 4096 kB\nAnonHugePages: 0 kB"])
def test_where_there_are_none_it_says_so(smaps, tmp_path, monkeypatch, bundle):
    monkeypatch.setattr(memory, "_OWN", tmp_path)  # at address 0 lies nothing that could be moved
    if smaps:
        (tmp_path / "smaps").write_text(smaps)
    with pytest.raises(UsageError, match=r"huge_pages: this system gives none: it takes Linux 6\.1"):
        load(bundle, "onnx", huge_pages=True)


def test_the_answers_are_the_same(bundle):
    prompts = ["Once upon a time", "ROMEO:"]
    expected = load(bundle, "onnx", huge_pages=False).generate(prompts)
    with suppress(UsageError):
        assert load(bundle, "onnx", huge_pages=True).generate(prompts) == expected


def test_other_engines_have_no_such_setting(bundle):
    with pytest.raises(UsageError, match="huge_pages True: the saved_model engine has no such setting"):
        load(bundle, "saved_model", huge_pages=True)


@pytest.mark.parametrize("is_changed", [False, True])
def test_pages_of_a_mapped_file_are_let_go_unless_they_were_changed(is_changed, tmp_path):
    path = tmp_path / "name with spaces.onnx_data"
    values = np.arange(memory.SMALLEST_RELEASED // 4, dtype=np.float32)
    values.tofile(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        seen = np.frombuffer(mapped, np.float32)
        assert seen.sum() > 0  # reads every page
        if is_changed:
            seen[7] = values[7] = -1
        before = resident_bytes(path)
        memory.release_mapped(path)
        after = resident_bytes(path)
        np.testing.assert_array_equal(seen, values)
        del seen
    assert after == (before if is_changed else 0)
    memory.release_mapped(tmp_path / "no such file")


@pytest.mark.parametrize("pagemap", [None, b"", b"\0" * 80])
def test_where_the_system_does_not_tell_of_pages_they_stay(pagemap, tmp_path, monkeypatch):
    own, path, size = tmp_path / "self", tmp_path / "weights", memory.SMALLEST_RELEASED
    own.mkdir()
    (own / "maps").write_text(f"0-{size:x} r--p 0 0:0 7 {path}\n")
    if pagemap is not None:
        (own / "pagemap").write_bytes(pagemap)  # fewer entries than pages
    monkeypatch.setattr(memory, "_OWN", own)
    monkeypatch.setattr(memory, "_advise", lambda *_: pytest.fail("let go of"))
    memory.release_mapped(path)
    (own / "pagemap").write_bytes(bytes(size // mmap.PAGESIZE * 8))
    advised = []
    monkeypatch.setattr(memory, "_advise", lambda *words: advised.append(words[:2]))
    memory.release_mapped(path)
    assert advised == [(0, size)]
