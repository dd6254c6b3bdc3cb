"""Pieces of documents: their size, and where they may be cut."""

import numpy as np
import pytest

from kerasgpt.data.pieces import SMALLEST_PIECE, EncodedPiece, Piece

TEXT = "né 🙂 régner"
SIZES = np.array([1, 2, 3, 0])


@pytest.mark.parametrize("num_bytes", range(-1, len(TEXT.encode()) + 2))
@pytest.mark.parametrize("begins", [True, False])
def test_a_text_is_cut_between_characters_and_nothing_is_lost(num_bytes, begins):
    parts = [part for part in Piece(TEXT, begins).divide(num_bytes) if part]
    assert "".join(part.text for part in parts) == TEXT
    assert all(part.text for part in parts)
    assert [part.begins_document for part in parts] == [begins, False][: len(parts)]
    head = Piece(TEXT, begins).divide(num_bytes)[0]
    assert (head.num_bytes if head else 0) in range(max(0, num_bytes - 3), max(0, num_bytes) + 1)


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [
        (-1, ([], [0, 1, 2, 1])),
        (0, ([], [0, 1, 2, 1])),
        (1, ([0], [1, 2, 1])),
        (2, ([0], [1, 2, 1])),
        (6, ([0, 1, 2], [1])),
        (9, ([0, 1, 2, 1], [])),
    ],
)
def test_ids_are_cut_where_the_bytes_they_stand_for_end(num_bytes, expected):
    piece = EncodedPiece(np.array([0, 1, 2, 1], np.uint16), True, SIZES)
    assert piece.num_bytes == 8
    head, tail = piece.divide(num_bytes)
    assert ([] if head is None else head.ids.tolist(), [] if tail is None else tail.ids.tolist()) == expected
    assert [part.begins_document for part in (head, tail) if part] == [True, False][
        : 2 - [*expected].count([])
    ]


def test_a_document_is_known_by_its_beginning():
    long = "é" * 2 * SMALLEST_PIECE
    assert Piece(long, True).beginning == Piece(long + "more", True).beginning
    assert len(Piece(long, True).beginning) == 2 * SMALLEST_PIECE
    assert Piece(long + "\n", True).beginning == Piece(long, True).beginning
    ids = np.arange(2 * SMALLEST_PIECE, dtype=np.uint16)
    assert EncodedPiece(ids, True, SIZES).beginning == ids[:SMALLEST_PIECE].tobytes()


@pytest.mark.parametrize("size", [0, 1, SMALLEST_PIECE - 1, SMALLEST_PIECE, SMALLEST_PIECE + 1])
@pytest.mark.parametrize("line_ends", ["\n", "\r\n", "\n\n\r\n"])
def test_a_text_is_known_without_the_line_ends_that_it_ends_in(size, line_ends):
    plain, ended = Piece("\n" + "a" * size, True), Piece("\n" + "a" * size + line_ends, True)
    assert ended.beginning == plain.beginning
    assert ended.trimmed == plain.trimmed
    assert ended.data == plain.data + line_ends.encode()


def test_ids_are_known_with_all_of_their_bytes():
    piece = EncodedPiece(np.array([1, 0x0A0D], np.uint16), True, SIZES)
    assert piece.trimmed == piece.beginning == piece.data == b"\x01\x00\x0d\x0a"
