"""Every byte belongs to exactly one part."""

import hashlib

import numpy as np
import pytest

from kerasgpt.data.pieces import EncodedPiece, Piece
from kerasgpt.data.splits import PARTS, Split, num_bytes, part_of
from kerasgpt.errors import UsageError

PIECES = [Piece("né🙂 " * 50, True), Piece("and on", False), Piece("二三" * 40, True), Piece("end", True)]
TEXT = "".join(piece.text for piece in PIECES)


def _parts(split):
    tagged = list(split.divide(lambda: PIECES))
    return {part: "".join(piece.text for piece in part_of(part, iter(tagged))) for part in PARTS}


@pytest.mark.parametrize("validation", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("test", [0.0, 0.1, 0.69])
def test_a_tail_split_cuts_the_joined_text_in_order(validation, test):
    parts = _parts(Split(validation, test))
    assert "".join(parts[part] for part in PARTS) == TEXT
    total = len(TEXT.encode())
    for part, fraction in {"validation": validation, "test": test}.items():
        assert len(parts[part].encode()) == pytest.approx(fraction * total, abs=4)


def test_the_tail_is_never_smaller_than_asked_for():
    assert len(_parts(Split(0.05, 0.1))["test"].encode()) >= round(0.1 * len(TEXT.encode()))


def test_each_part_of_a_tail_split_begins_a_document():
    first = {}
    for part, piece in Split(0.2, 0.2).divide(lambda: PIECES):
        first.setdefault(part, piece)
    assert all(piece.begins_document for piece in first.values())
    assert len(first) == 3


def test_a_document_split_keeps_documents_whole_and_equal_ones_together():
    many = [Piece(f"document {number % 500}", True) for number in range(2000)]
    many = [part for piece in many for part in (piece, Piece(" goes on", False))]
    owner = {}
    tagged = list(Split(0.2, 0.3, "document").divide(lambda: many))
    assert [piece for _, piece in tagged] == many
    for (part, piece), (next_part, _) in zip(tagged[::2], tagged[1::2], strict=True):
        assert part == next_part
        assert owner.setdefault(piece.text, part) == part
    counts = [sum(part == name for part in owner.values()) / 500 for name in PARTS]
    assert counts == pytest.approx([0.5, 0.2, 0.3], abs=0.07)


def test_a_document_has_its_place_by_a_hash_that_is_the_same_in_every_process():
    pieces = [Piece(f"document {number}", True) for number in range(200)]
    for part, piece in Split(0.2, 0.3, "document").divide(lambda: pieces):
        digest = hashlib.blake2b(piece.text.encode(), digest_size=8).hexdigest()
        position = int(digest, 16) / 16**16
        assert part == ("test" if position < 0.3 else "validation" if position < 0.5 else "train")


def test_ids_are_divided_like_text():
    sizes = np.array([1, 2, 3, 4])
    pieces = [EncodedPiece(np.array([3, 2, 1, 0] * 5, np.uint16), True, sizes) for _ in range(4)]
    tagged = list(Split(0.2, 0.1).divide(lambda: pieces))
    joined = np.concatenate([piece.ids for part in PARTS for piece in part_of(part, iter(tagged))])
    np.testing.assert_array_equal(joined, np.concatenate([piece.ids for piece in pieces]))
    assert {part: num_bytes(part_of(part, iter(tagged))) for part in PARTS} == pytest.approx(
        {"train": 140, "validation": 40, "test": 20}, abs=4
    )


def test_bytes_are_counted_as_utf8():
    assert num_bytes(PIECES) == len(TEXT.encode())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((1.0, 0.0), "validation_fraction is 1.0"),
        ((0.1, -0.1), "test_fraction is -0.1"),
        ((0.5, 0.5), "leave nothing to train on"),
        ((0.1, 0.1, "tial"), "did you mean 'tail'"),
    ],
)
def test_impossible_splits_are_refused(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        Split(*arguments)
