import gzip

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.files.lines import (
    numbered_lines,
    numbered_objects,
    text_field,
    text_fields,
    whole_text,
)


def test_lines_are_numbered_and_lose_their_ends_gzipped_or_not(tmp_path):
    data = b"eins\r\nzwei\n\ndrei"
    (tmp_path / "plain.txt").write_bytes(data)
    (tmp_path / "packed.txt.gz").write_bytes(gzip.compress(data))
    for name in ("plain.txt", "packed.txt.gz"):
        assert list(numbered_lines(tmp_path / name)) == [(1, "eins"), (2, "zwei"), (3, ""), (4, "drei")]


def test_objects_come_with_their_place_and_empty_lines_are_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    places = [place for place, _ in numbered_objects(tmp_path / "a.jsonl")]
    assert places == [f"{tmp_path / 'a.jsonl'}, line 1", f"{tmp_path / 'a.jsonl'}, line 3"]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.txt", b"fine\nna\xefve\n", "a.txt, line 2: not UTF-8"),
        ("a.txt.gz", b"no gzip", "not a whole gzip file"),
        ("b.txt.gz", gzip.compress(b"cut off" * 100, mtime=0)[:-9], "not a whole gzip file"),
        ("a.jsonl", b'{"a": 1}\n{"a"\n', "a.jsonl, line 2: not valid JSON"),
        ("b.jsonl", b"[1]\n", "b.jsonl, line 1: is no object"),
        ("c.jsonl", b"{}\n" + b"[" * 100_000, r"c.jsonl, line 2: not valid JSON \(nested too deep\)"),
        (
            "d.jsonl",
            b'{"a": ' + b"1" * 5000 + b"}",
            r"line 1: not valid JSON \(a number of too many digits\)",
        ),
    ],
    ids=["not UTF-8", "no gzip", "gzip cut off", "broken JSON", "no object", "deep", "digits"],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, name, data, sentence):
    (tmp_path / name).write_bytes(data)
    read = numbered_objects if ".jsonl" in name else numbered_lines
    with pytest.raises(KerasGPTError, match=sentence):
        list(read(tmp_path / name))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    (tmp_path / "a.jsonl").write_bytes('\ufeff{"a": 1}\n{"a": 2}\n'.encode())
    assert [value for _, value in numbered_objects(tmp_path / "a.jsonl")] == [{"a": 1}, {"a": 2}]


def test_a_whole_text_is_as_it_is_gzipped_or_not(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo")
    (tmp_path / "a.GZ").write_bytes(gzip.compress(b"one\r\ntwo"))
    assert whole_text(tmp_path / "a.txt") == whole_text(tmp_path / "a.GZ") == "one\r\ntwo"
    (tmp_path / "c.txt").write_bytes("\ufeffone".encode())
    assert whole_text(tmp_path / "c.txt") == "one"
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"abc\xff"))
    with pytest.raises(KerasGPTError, match=r"b.gz: not UTF-8 at byte 3"):
        whole_text(tmp_path / "b.gz")


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(KerasGPTError, match="none.txt: cannot read"):
        list(numbered_lines(tmp_path / "none.txt"))


def test_fields_are_texts_and_lists_of_sentences_are_joined():
    value = {"one": "a", "many": ["b", "c"], "number": 3, "blank": " "}
    assert text_field(value, "one", "here") == "a"
    assert text_field(value, "many", "here") == "b c"
    assert text_field(value, "blank", "here", may_be_empty=True) == " "
    assert text_fields(value, "one", "here") == ("a",)
    assert text_fields(value, "many", "here") == ("b", "c")
    for name, read in (("number", text_field), ("none", text_field), ("number", text_fields)):
        with pytest.raises(KerasGPTError, match=f'here: has no text "{name}", only one, many'):
            read(value, name, "here")
    with pytest.raises(KerasGPTError, match='here: its "blank" is empty'):
        text_field(value, "blank", "here")


@pytest.mark.parametrize("read", [text_field, text_fields])
def test_half_a_surrogate_pair_is_told(read):
    for value in ("a\ud800", ["b", "\udc00"]):
        with pytest.raises(KerasGPTError, match='line 3: its "one" holds half a surrogate pair'):
            read({"one": value}, "one", "line 3")
