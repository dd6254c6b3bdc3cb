"""Bytes of files, and what is said when there are none."""

import pytest

from kerasgpt.data.reading import blocks, lines, refuse_other_forms, size_of
from kerasgpt.errors import KerasGPTError


def test_blocks_and_lines_join_to_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo\nthree")
    assert list(blocks(path, 5)) == [b"one\nt", b"wo\nth", b"ree"]
    assert list(blocks(path, 5, start=8)) == [b"three"]
    assert list(lines(path)) == [b"one\n", b"two\n", b"three"]
    assert size_of(path) == 13


@pytest.mark.parametrize(
    "read", [lambda path: list(blocks(path, 5)), lambda path: list(lines(path)), size_of]
)
def test_what_is_not_there_is_named(tmp_path, read):
    with pytest.raises(KerasGPTError, match="none: cannot read .*check the path"):
        read(tmp_path / "none")


def test_a_folder_is_called_one(tmp_path):
    with pytest.raises(KerasGPTError, match=r"is a folder; name its files, such as .*/\*\.txt$"):
        list(lines(tmp_path))


@pytest.mark.parametrize("head", [b"\x1f\x8b\x08", b"\xff\xfea\0", b"\xfe\xff\0a"])
def test_what_is_no_utf8_by_its_first_bytes_is_refused(tmp_path, head):
    refuse_other_forms(tmp_path / "a", b"text")
    with pytest.raises(KerasGPTError, match="unpack it first|convert it to UTF-8"):
        refuse_other_forms(tmp_path / "a", head)
