"""Documents from JSON lines."""

import json

import pytest

from kerasgpt.data.json_lines import json_documents
from kerasgpt.data.pieces import Piece
from kerasgpt.errors import KerasGPTError


def test_json_lines_are_documents(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": "né\n", "id": 1}, ensure_ascii=False), "", '{"text": ""}', '{"text": "two"}']
    path.write_text("\n".join(lines), encoding="utf-8")
    assert list(json_documents(path, "strict")) == [Piece("né\n", True), Piece("two", True)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"text": "a"}\n{"txt": "b"}\n', 'line 2: has no "text" string'),
        (b'{"text": "a"}\n["b"]\n', 'line 2: has no "text" string'),
        (b'{"text": 3}', 'line 1: has no "text" string'),
        (b'{"text": "a"}\n{"text', "line 2: not valid JSON"),
        (b'{"text": "a"}\n{"text": "\xff"}', "not UTF-8 at byte 24"),
        (b'{"text": "\\ud800"}', "half a surrogate"),
        (b'\xef\xbb\xbf{"text": "\xff"}', "not UTF-8 at byte 13"),
    ],
)
def test_bad_json_lines_are_named(tmp_path, content, sentence):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(KerasGPTError, match=sentence) as error:
        list(json_documents(path, "strict"))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("1" * 5000, "a number has too many digits"), ("[" * 200_000, "nested too deeply")],
    ids=["digits", "brackets"],
)
def test_what_python_does_not_read_is_named(tmp_path, value, reason):
    path = tmp_path / "bad.jsonl"
    path.write_text(f'{{"text": "a"}}\n{{"text": "b", "n": {value}}}\n')
    with pytest.raises(KerasGPTError, match=rf"bad\.jsonl, line 2: not valid JSON \({reason}\)"):
        list(json_documents(path, "strict"))


def test_replace_reads_half_a_surrogate_pair(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "a\\ud800b"}')
    assert list(json_documents(path, "replace")) == [Piece("a\ufffdb", True)]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": "\ufefftwo"}\n', encoding="utf-8-sig")
    assert list(json_documents(path, "strict")) == [Piece("one", True), Piece("\ufefftwo", True)]
