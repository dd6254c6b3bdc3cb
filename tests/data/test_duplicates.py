"""Equal documents, found whatever pieces they come in."""

import hashlib
import random

import numpy as np
import pytest

from kerasgpt.data import duplicates as module
from kerasgpt.data.duplicates import DIGEST_BYTES, document_digests, mark_duplicates, without_duplicates
from kerasgpt.data.pieces import EncodedPiece, Piece


def test_a_hash_is_of_the_whole_document_however_it_is_cut():
    pieces = [
        Piece("to be ", True),
        Piece("or not", False),
        Piece("to be or not", True),
        Piece("to be", True),
    ]
    (first, size), (second, _), (third, _) = document_digests(pieces)
    assert first == second != third
    assert size == 12
    assert first == hashlib.blake2b(b"to be or not", digest_size=16).digest()
    assert list(document_digests([])) == []


def test_a_hash_is_not_of_the_line_ends_that_a_document_ends_in():
    documents = [["to\r\n\nbe"], ["to\r\n\nbe\n"], ["to\r\n", "\n", "be", "\r\n", "\n"], ["to\nbe"]]
    pieces = [Piece(text, place == 0) for texts in documents for place, text in enumerate(texts)]
    (first, _), (second, _), (third, size), (other, _) = document_digests(pieces)
    assert first == second == third != other
    assert size == 10


@pytest.mark.parametrize("at_once", [1, 7, 100, 1 << 20])
def test_all_but_the_first_of_equal_documents_are_marked(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(module, "_DIGESTS_AT_ONCE", at_once)
    generator = random.Random(0)
    texts = [str(generator.randrange(40)) for _ in range(120)]
    digests = tmp_path / "digests"
    found = document_digests(Piece(text, True) for text in texts)
    digests.write_bytes(b"".join(digest for digest, _ in found))
    assert digests.stat().st_size == 120 * DIGEST_BYTES
    expected = [text in texts[:place] for place, text in enumerate(texts)]
    assert mark_duplicates(digests, tmp_path / "marks.npy") == sum(expected)
    assert np.load(tmp_path / "marks.npy").tolist() == expected


def test_hashes_that_are_half_equal_are_not_equal(tmp_path):
    rows = np.array([[1, 2], [1, 3], [2, 2], [1, 2]], np.uint64)
    (tmp_path / "digests").write_bytes(rows.tobytes())
    assert mark_duplicates(tmp_path / "digests", tmp_path / "marks.npy") == 1
    assert np.load(tmp_path / "marks.npy").tolist() == [False, False, False, True]


def test_marked_documents_are_left_out_with_all_their_pieces():
    ids = EncodedPiece(np.array([1], np.uint16), True, np.ones(2, int))
    pieces = [Piece("a", True), Piece("b", False), Piece("c", True), ids, Piece("d", True), Piece("e", False)]
    marks = np.array([False, False, True, False, True])  # document 0 is of another source
    assert list(without_duplicates(pieces, marks, first=1)) == [*pieces[:2], ids]
