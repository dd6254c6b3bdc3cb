"""A fastText model written byte by byte: words, labels, n-grams by the published hash, and damage."""

import struct

import numpy as np
import pytest

from kerasgpt.data.fasttext_model import _hash
from kerasgpt.data.word_vectors import read_word_vectors
from kerasgpt.errors import KerasGPTError

WIDTH, BUCKETS = 2, 7
WORDS = [b"</s>", b"to", b"n\xc3\xa9e"]
ROWS = np.arange((len(WORDS) + BUCKETS) * WIDTH, dtype="<f4").reshape(-1, WIDTH) ** 2


def model_file(*, magic=True, version=12, words=WORDS, quantised=False, pruned=-1, kind=2, rows=ROWS, **head):
    buckets, entries = head.get("buckets", BUCKETS), head.get("entries", len(words) + 1)
    arguments = struct.pack("<12id", WIDTH, 5, 5, 1, 5, 1, 2, kind, buckets, 2, 3, 100, 1e-4)
    content = struct.pack("<2i", 793712314, version) if magic else b""
    content += arguments + struct.pack("<3iq", entries, len(words), 1, 99)
    content += struct.pack("<q", pruned) if magic else b""
    content += b"".join(word + b"\0" + struct.pack("<qb", 3, 0) for word in words)
    content += b"__label__x\0" + struct.pack("<qb", 3, 1)
    content += struct.pack("<?", quantised) if magic else b""
    return content + struct.pack("<2q", *rows.shape) + rows.tobytes()


def naive_vector(index, grams):
    rows = [index] + [len(WORDS) + naive_hash(gram) % BUCKETS for gram in grams]
    return ROWS[rows].mean(axis=0)


def naive_hash(gram):
    value = np.uint32(2166136261)
    with np.errstate(over="ignore"):
        for byte in gram.encode():
            value = np.uint32(
                value ^ np.uint32(np.uint8(byte).astype(np.int8).astype(np.int32).view(np.uint32))
            )
            value = np.uint32(value * np.uint32(16777619))
    return int(value)


def written(tmp_path, content):
    (tmp_path / "m.bin").write_bytes(content)
    return tmp_path / "m.bin"


def test_the_hash_is_the_published_one():
    """FNV-1a's test vectors, and a byte above 127 with its sign."""
    assert (_hash(b"a"), _hash(b"foobar")) == (0xE40C292C, 0xBF9CF968)
    assert _hash("né".encode()) == naive_hash("né") != _hash(b"n")


@pytest.mark.parametrize("magic", [True, False])
def test_words_are_the_mean_of_their_row_and_their_ngrams(magic, tmp_path):
    found = read_word_vectors(written(tmp_path, model_file(magic=magic)))
    assert list(found.vectors) == ["</s>", "to", "née"]
    np.testing.assert_allclose(found.vectors["to"], naive_vector(1, ["<t", "<to", "to", "to>", "o>"]))
    grams = ["<n", "<né", "né", "née", "ée", "ée>", "e>"]
    np.testing.assert_allclose(found.vectors["née"], naive_vector(2, grams))
    own = naive_vector(0, [])
    assert np.array_equal(found.vectors["</s>"], own) == magic


def test_only_the_wanted_are_kept_and_all_are_counted(tmp_path):
    found = read_word_vectors(written(tmp_path, model_file()), {"to", "label"})
    assert list(found.vectors) == ["to"]
    assert (found.num_words, found.width) == (3, 2)


def test_a_supervised_model_of_version_11_has_no_ngrams(tmp_path):
    found = read_word_vectors(written(tmp_path, model_file(version=11, kind=3)))
    np.testing.assert_array_equal(found.vectors["to"], ROWS[1])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (model_file()[:70], "cut off at byte 70"),
        (model_file()[:100], "cut off at byte 100, in word 1 of 4|cut off at byte 100"),
        (model_file()[:-4], "cut off at byte .*, in a matrix of 10 x 2 that begins at byte"),
        (model_file(words=[b"</s>", b"t\xec", b"x"]), r"word 2 at byte 106 is b't\\xec', which is not UTF-8"),
        (model_file(quantised=True), "quantised"),
        (model_file(pruned=3), "pruned"),
        (model_file(version=99), "version 99"),
        (model_file(rows=ROWS[:2]), "says 3 words of width 2, and its matrix is 2 x 2"),
        (model_file(rows=ROWS[:4]), "has no row"),
        (
            model_file(rows=np.where(ROWS == 4, np.nan, ROWS)),
            "vector of 'to' has a number that is not finite",
        ),
        (model_file(entries=2), "its head says 3 words among 2"),
        (model_file(buckets=-7), "and -7 buckets"),
    ],
)
def test_damage_is_a_sentence(content, sentence, tmp_path):
    with pytest.raises(KerasGPTError, match=sentence) as caught:
        read_word_vectors(written(tmp_path, content))
    assert str(caught.value).startswith(str(tmp_path / "m.bin"))
