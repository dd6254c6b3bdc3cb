"""Weights in huge pages: the same answers, from memory that lies otherwise."""

from contextlib import suppress

import numpy as np
import pytest

from kerasgpt import load
from kerasgpt.errors import UsageError
from kerasgpt.runtime import huge_pages


def test_large_regions_are_moved_and_hold_what_they_held():
    values = np.arange(2**24, dtype=np.float32)  # 64 MiB
    with suppress(UsageError):  # a system that has none says so, see below
        assert huge_pages.collapse() >= values.nbytes // 2
    np.testing.assert_array_equal(values, np.arange(2**24, dtype=np.float32))


def test_small_regions_and_reserved_ones_are_left_alone(tmp_path, monkeypatch):
    lines = ["10000000-20000000 rw-p 00000000 00:00 0", "Size: 262144 kB", "Anonymous: {} kB", "VmFlags: rd"]
    monkeypatch.setattr(huge_pages, "_OWN", tmp_path)
    for kilobytes, found in ((4096, []), (131071, []), (131072, [(0x10000000, 0x20000000)])):
        (tmp_path / "smaps").write_text("\n".join(lines).format(kilobytes))
        assert list(huge_pages._regions()) == found
    lines[0] = "7f0000000000-7f0000400000 rw-p 00000000 00:00 0"
    (tmp_path / "smaps").write_text("\n".join(lines).format(4096))
    assert list(huge_pages._regions()) == [(0x7F0000000000, 0x7F0000400000)]


def test_where_there_are_none_it_says_so(tmp_path, monkeypatch, bundle):
    monkeypatch.setattr(huge_pages, "_kilobytes", lambda name: 0)
    monkeypatch.setattr(huge_pages, "_regions", lambda: iter([(0, 0)]))
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
