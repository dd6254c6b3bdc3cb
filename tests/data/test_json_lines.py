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
    ],
)
def test_bad_json_lines_are_named(tmp_path, content, sentence):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(KerasGPTError, match=sentence) as error:
        list(json_documents(path, "strict"))
    assert str(path) in str(error.value)


def test_replace_reads_half_a_surrogate_pair(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "a\\ud800b"}')
    assert list(json_documents(path, "replace")) == [Piece("a\ufffdb", True)]
