"""Files of word vectors in each form, read as written, and each way in which one can be bad."""

import numpy as np
import pytest

from kerasgpt.data.word_vectors import read_word_vectors
from kerasgpt.errors import KerasGPTError

WORDS = ["the", "né", "北京", "a"]
VECTORS = np.array([[0.5, -1.25, 3], [1e-3, 2, -0.125], [4, 5, 6], [7, 8, -9]], np.float32)


def as_text(words=WORDS, vectors=VECTORS, header="4 3\n"):
    lines = (f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, vectors, strict=True))
    return (header + "".join(lines)).encode()


def as_binary(separator=b"\n"):
    rows = zip(WORDS, VECTORS, strict=True)
    return b"4 3\n" + b"".join(word.encode() + b" " + row.tobytes() + separator for word, row in rows)


def written(tmp_path, content):
    (tmp_path / "v.vec").write_bytes(content)
    return tmp_path / "v.vec"


@pytest.mark.parametrize(
    "content",
    [
        as_text(),
        as_text(header=""),
        as_text().replace(b" 3\n", b" 3 \n").replace(b"\n", b"\r\n"),
        as_binary(),
        as_binary(b""),
    ],
    ids=["word2vec", "glove", "spaces and line breaks", "binary", "binary without line breaks"],
)
def test_every_form_gives_the_same(content, tmp_path):
    found = read_word_vectors(written(tmp_path, content))
    assert (found.width, found.num_words) == (3, 4)
    assert list(found.vectors) == WORDS
    np.testing.assert_array_equal(np.stack(list(found.vectors.values())), VECTORS)


@pytest.mark.parametrize("content", [as_text(), as_binary()], ids=["text", "binary"])
def test_only_the_wanted_are_kept(content, tmp_path):
    found = read_word_vectors(written(tmp_path, content), {"né", "absent"})
    assert list(found.vectors) == ["né"]
    assert found.num_words == 4


def test_of_a_word_that_comes_twice_the_first_vector_counts(tmp_path):
    found = read_word_vectors(written(tmp_path, as_text(["a", "b", "a", "c"])))
    np.testing.assert_array_equal(found.vectors["a"], VECTORS[0])


def test_a_word_may_hold_spaces(tmp_path):
    found = read_word_vectors(
        written(tmp_path, as_text(["x", ". . .", "at name@domain.com", "y"], header=""))
    )
    assert list(found.vectors) == ["x", ". . .", "at name@domain.com", "y"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (as_text().replace(b" 2.0 ", b" 2.0 7.0 "), "line 3 has 4 numbers and those before it 3"),
        (as_text().replace(b" 2.0 ", b" "), "line 3 has 2 numbers and those before it 3"),
        (as_text(header="").replace(b" 2.0 ", b" "), "line 2 has 2 numbers"),
        (as_text().replace(b" 2.0 ", b" two "), "line 3 has 'two' where a number should be"),
        (as_text().replace(b" 2.0 ", b" nan "), "line 3 has a number that is not finite"),
        (
            as_text().replace("né".encode(), b"n\xe9"),
            r"line 3 holds the word b'n\\xe9', not UTF-8 at its byte 1",
        ),
        (as_text(header="5 3\n"), "line 1 says 5 words and 4 follow"),
        (as_text(header="3 3\n"), "line 1 says 3 words and 4 follow"),
        (as_text(header="4 0\n"), "line 1 says that vectors have a width of 0"),
        (as_text().replace(b"\na ", b"\n\na "), "line 5 is empty"),
        (as_binary()[:-3], r"word 4 of 4, at byte 57, has 10 bytes of its vector's 12"),
        (as_binary()[:-14], "word 4 of 4, at byte 57, is cut off"),
        (
            as_binary().replace("né".encode(), b"n\xe9!"),
            r"word 2 of 4, at byte 20, holds the word b'n\\xe9!'",
        ),
        (as_binary() + b"more", "line 1 says 4 words, and at byte 73 more follow"),
        (as_binary().replace(VECTORS[1].tobytes()[:4], b"\0\0\x80\x7f"), "word 2 of 4, .* not finite"),
        (as_binary().replace(b"4 3", b"4 " + b"9" * 20, 1), "a width of 9{20}, more than its"),
        (b"", "begins neither with words"),
        (b"\0\1\2\3", "begins neither with words"),
        (b"no numbers here\n", "line 1 has 'numbers' where a number should be"),
    ],
)
def test_a_bad_file_is_a_sentence_with_its_place(content, sentence, tmp_path):
    with pytest.raises(KerasGPTError, match=sentence) as caught:
        read_word_vectors(written(tmp_path, content))
    assert str(caught.value).startswith(str(tmp_path / "v.vec"))


@pytest.mark.parametrize("header", ["", "4 3\n"])
def test_a_mark_of_the_order_of_bytes_is_no_part_of_the_first_word(header, tmp_path):
    plain = read_word_vectors(written(tmp_path, as_text(header=header)))
    marked = read_word_vectors(written(tmp_path, b"\xef\xbb\xbf" + as_text(header=header)))
    assert list(marked.vectors) == list(plain.vectors)


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(KerasGPTError, match="cannot read"):
        read_word_vectors(tmp_path / "none.vec")
