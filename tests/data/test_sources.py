"""Documents from files, piece by piece."""

import json
import os

import pytest

from kerasgpt.data import sources
from kerasgpt.data.sources import Piece, documents, fingerprint, read_documents
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tokenizer.bpe import Tokenizer

WORDS = (
    "The king said:\n\n  “Né pour régner!”\r\n\n\tI'm  here; you're not.  \n 🙂 12,345 \u00a0 x\u2003\ny\n"
)


def _whole(pieces):
    joined = []
    for piece in pieces:
        if piece.begins_document:
            joined.append("")
        joined[-1] += piece.text
    return joined


def test_a_text_file_is_one_document(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(WORDS.encode())
    assert list(documents([path])) == [Piece(WORDS, True)]


def test_documents_come_in_the_order_of_the_files(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    assert list(read_documents([tmp_path / "b", tmp_path / "a"])) == ["b", "a"]


@pytest.mark.parametrize("block_bytes", [1, 7, 50, 1 << 18])
def test_separator_lines_divide_documents_wherever_blocks_end(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(sources, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "stories.txt"
    text = (
        "<|endoftext|>\nOne.\nMore.\n<|endoftext|>\r\n<|endoftext|>\nTwo <|endoftext|> is text.\n"
        "<|endoftext|> too\n<|endoftext|>"
    )
    path.write_bytes(text.encode())
    assert _whole(documents([path])) == ["One.\nMore.", "Two <|endoftext|> is text.\n<|endoftext|> too"]


@pytest.mark.parametrize("block_bytes", [100, 4099, 1 << 18])
def test_pieces_join_to_the_text_and_to_its_tokens(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(sources, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "long.txt"
    text = WORDS * 1000
    path.write_bytes(text.encode())
    pieces = list(documents([path]))
    assert len(pieces) > 1
    assert _whole(pieces) == [text]
    assert all(len(piece.text) >= sources.SMALLEST_PIECE for piece in pieces[:-1])
    tokenizer = Tokenizer.from_preset("gpt2")
    ids = [index for piece in pieces for index in tokenizer.encode(piece.text)]
    assert ids == tokenizer.encode(text)


def test_a_text_without_white_space_still_comes_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_LONGEST_WORD", 10_000)
    path = tmp_path / "word.txt"
    path.write_text("a" * 600_000)
    pieces = list(documents([path]))
    assert max(len(piece.text) for piece in pieces) <= 10_000 + (1 << 18)
    assert _whole(pieces) == ["a" * 600_000]


def test_json_lines_are_documents(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": "né\n", "id": 1}, ensure_ascii=False), "", '{"text": ""}', '{"text": "two"}']
    path.write_text("\n".join(lines), encoding="utf-8")
    assert list(documents([path])) == [Piece("né\n", True), Piece("two", True)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"text": "a"}\n{"txt": "b"}\n', 'line 2: has no "text" string'),
        (b'{"text": "a"}\n["b"]\n', 'line 2: has no "text" string'),
        (b'{"text": 3}', 'line 1: has no "text" string'),
        (b'{"text": "a"}\n{"text', "line 2: not valid JSON"),
        (b'{"text": "a"}\n{"text": "\xff"}', "not UTF-8 at byte 24"),
        (b'{"text": "\\ud800"}', "half a surrogate"),
        (b"", "holds no text"),
        (b'{"text": ""}\n', "holds no text"),
    ],
)
def test_bad_json_lines_are_named(tmp_path, content, sentence):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(KerasGPTError, match=sentence) as error:
        list(documents([path]))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("offset", [0, 3, (1 << 18) - 1, 1 << 18, 300_000])
def test_the_offset_of_a_bad_byte_is_told(tmp_path, offset):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"a " * (offset // 2) + b"a" * (offset % 2) + b"\xe9 rest")
    with pytest.raises(KerasGPTError, match=f"not UTF-8 at byte {offset};"):
        list(documents([path]))
    assert _whole(documents([path], errors="replace"))[0].endswith("\ufffd rest")


def test_a_character_cut_off_at_the_end_is_not_utf8(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"abc\xc3")
    with pytest.raises(KerasGPTError, match="at byte 3"):
        list(documents([path]))


def test_replace_reads_half_a_surrogate_pair(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "a\\ud800b"}')
    assert list(documents([path], errors="replace")) == [Piece("a\ufffdb", True)]


def test_missing_unreadable_and_empty_files_are_named(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    for name, sentence in {"none.txt": "No such file", "empty.txt": "holds no text", "": "directory"}.items():
        with pytest.raises(KerasGPTError, match=sentence):
            list(documents([tmp_path / name]))


def test_no_file_and_unknown_error_handling_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no data"):
        list(documents([]))
    with pytest.raises(UsageError, match="did you mean 'replace'"):
        list(documents([tmp_path], errors="replaec"))


def test_the_fingerprint_follows_the_content_and_not_the_name(tmp_path):
    for name, content in {"a.txt": "x", "b.txt": "x", "c.txt": "y"}.items():
        (tmp_path / name).write_text(content)
    a, b, c = (fingerprint([tmp_path / name]) for name in ("a.txt", "b.txt", "c.txt"))
    assert a == b != c
    with pytest.raises(KerasGPTError, match="cannot read"):
        fingerprint([os.fspath(tmp_path / "none")])
