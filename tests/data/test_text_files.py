"""Documents from text files, piece by piece."""

import random
import time

import pytest

from kerasgpt.data import text_files
from kerasgpt.data.pieces import SMALLEST_PIECE, Piece
from kerasgpt.data.text_files import text_documents
from kerasgpt.errors import KerasGPTError
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
    assert list(text_documents(path, "strict")) == [Piece(WORDS, True)]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 1 << 18])
def test_a_byte_order_mark_is_no_text_but_at_the_beginning_alone(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(text_files, "_BLOCK_BYTES", block_bytes)
    (tmp_path / "a.txt").write_text("\ufeffone \ufefftwo", encoding="utf-8")
    assert _whole(text_documents(tmp_path / "a.txt", "strict")) == ["one \ufefftwo"]


@pytest.mark.parametrize("block_bytes", [1, 7, 50, 1 << 18])
def test_separator_lines_divide_documents_wherever_blocks_end(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(text_files, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "stories.txt"
    text = (
        "<|endoftext|>\nOne.\nMore.\n<|endoftext|>\r\n<|endoftext|>\nTwo <|endoftext|> is text.\n"
        "<|endoftext|> too\n<|endoftext|>"
    )
    path.write_bytes(text.encode())
    assert _whole(text_documents(path, "strict")) == [
        "One.\nMore.",
        "Two <|endoftext|> is text.\n<|endoftext|> too",
    ]


@pytest.mark.parametrize("block_bytes", [100, 4099, 1 << 18])
def test_pieces_join_to_the_text_and_to_its_tokens(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(text_files, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "long.txt"
    text = WORDS * 1000
    path.write_bytes(text.encode())
    pieces = list(text_documents(path, "strict"))
    assert len(pieces) > 1
    assert _whole(pieces) == [text]
    assert all(len(piece.text) >= SMALLEST_PIECE for piece in pieces[:-1])
    tokenizer = Tokenizer.from_preset("gpt2")
    ids = [index for piece in pieces for index in tokenizer.encode(piece.text)]
    assert ids == tokenizer.encode(text)


def test_a_text_without_white_space_still_comes_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "_LONGEST_WORD", 10_000)
    path = tmp_path / "word.txt"
    path.write_text("a" * 600_000)
    pieces = list(text_documents(path, "strict"))
    assert max(len(piece.text) for piece in pieces) <= 10_000 + (1 << 18)
    assert _whole(pieces) == ["a" * 600_000]


@pytest.mark.parametrize("offset", [0, 3, (1 << 18) - 1, 1 << 18, 300_000])
def test_the_offset_of_a_bad_byte_is_told(tmp_path, offset):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"a " * (offset // 2) + b"a" * (offset % 2) + b"\xe9 rest")
    with pytest.raises(KerasGPTError, match=f"not UTF-8 at byte {offset};"):
        list(text_documents(path, "strict"))
    assert _whole(text_documents(path, "replace"))[0].endswith("\ufffd rest")


def test_a_character_cut_off_at_the_end_is_not_utf8(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"abc\xc3")
    with pytest.raises(KerasGPTError, match="at byte 3"):
        list(text_documents(path, "strict"))


def _cut_by_definition(text, smallest):
    """The last blank or line's end, not before `smallest`, that another character than a blank follows."""
    cuts = [n for n in range(smallest, len(text) - 1) if text[n] in " \n" and not text[n + 1].isspace()]
    return (cuts or [0])[-1]


def test_a_cut_is_where_its_definition_says(monkeypatch):
    generator = random.Random(1)
    for _ in range(3000):
        smallest = generator.randint(1, 4)
        monkeypatch.setattr(text_files, "SMALLEST_PIECE", smallest)
        text = "".join(generator.choices("a \n\t\u00a0\r", k=generator.randint(2 * smallest, 20)))
        assert text_files._safe_cut(text) == _cut_by_definition(text, smallest), text


def test_a_long_run_of_blanks_is_cut_at_once():
    for blanks in (" " * 1_000_000, "a \t" * 340_000):
        start = time.perf_counter()
        assert text_files._safe_cut("b " + blanks) == 0
        assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("unit", ["ab cd ", "ab\r\n"])
@pytest.mark.parametrize("back", range(16))
def test_a_line_end_of_two_characters_belongs_to_the_separator_wherever_blocks_end(
    tmp_path, monkeypatch, back, unit
):
    monkeypatch.setattr(text_files, "_BLOCK_BYTES", 3 * SMALLEST_PIECE)
    first = (unit * SMALLEST_PIECE)[: 3 * SMALLEST_PIECE - back - 2] + "abe"
    path = tmp_path / "stories.txt"
    path.write_bytes(f"{first}\r\n<|endoftext|>\r\nTwo.".encode())
    assert _whole(text_documents(path, "strict")) == [first, "Two."]
