"""Rows of ids: in order however many threads, in groups that fit into memory."""

import threading
import time

import numpy as np
import pytest

from kerasgpt.data import encoding
from kerasgpt.data.encoding import encode_pieces, in_order
from kerasgpt.data.pieces import EncodedPiece, Piece
from kerasgpt.tokenizer.bpe import Tokenizer

LINES = [f"Line {number}: the quick brown fox né 🙂.\n" for number in range(400)]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.learn(LINES, 300)


def tagged():
    sizes = np.ones(300, int)
    for number, line in enumerate(LINES):
        yield ("train", "validation")[number % 5 == 0], Piece(line, number % 3 == 0)
        if number % 7 == 0:
            yield "test", EncodedPiece(np.array([number % 200, 1], np.uint16), True, sizes)


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_rows_are_the_pieces_in_order_each_document_after_an_end_of_text(tokenizer, monkeypatch, num_workers):
    monkeypatch.setattr(encoding, "_CHARACTERS_AT_ONCE", 500)
    rows = list(encode_pieces(tagged(), tokenizer, np.uint16, num_workers))
    for row, (part, piece) in zip(rows, tagged(), strict=True):
        ids = piece.ids.tolist() if isinstance(piece, EncodedPiece) else tokenizer.encode(piece.text)
        assert row.ids.tolist() == [tokenizer.end_of_text_id] * piece.begins_document + ids
        assert row.ids.dtype == np.uint16
        assert (row.part, row.num_bytes, row.begins_document) == (
            part,
            piece.num_bytes,
            piece.begins_document,
        )


def test_pieces_are_encoded_in_bounded_groups(tokenizer, monkeypatch):
    sizes = []
    encode_batch = Tokenizer.encode_batch

    def counted(self, texts):
        sizes.append(sum(map(len, texts)))
        return encode_batch(self, texts)

    monkeypatch.setattr(Tokenizer, "encode_batch", counted)
    monkeypatch.setattr(encoding, "_CHARACTERS_AT_ONCE", 500)
    list(encode_pieces((("train", Piece(line, True)) for line in LINES), tokenizer, np.uint16, 2))
    assert sum(sizes) == sum(map(len, LINES))
    assert max(sizes) < 500 + max(map(len, LINES))


def test_results_come_in_order_and_only_so_many_items_ahead():
    read, ahead = [], []

    def items():
        for number in range(40):
            read.append(number)
            yield number

    def slow_at_first(number):
        time.sleep(0.02 if number % 4 == 0 else 0)
        return number

    for number in in_order(slow_at_first, items(), num_workers=3):
        ahead.append(len(read) - number)
    assert read == list(range(40))
    assert max(ahead) <= 12


def test_work_is_done_side_by_side():
    barrier = threading.Barrier(3, timeout=300)
    assert list(in_order(lambda _: barrier.wait() >= 0, range(6), num_workers=3)) == [True] * 6


def test_an_error_in_a_thread_is_raised_at_its_place():
    results = in_order(lambda number: 1 // (3 - number), range(6), num_workers=2)
    assert [next(results), next(results), next(results)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
