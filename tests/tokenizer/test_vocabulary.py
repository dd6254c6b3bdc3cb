"""The alphabet of bytes, the numbering of pieces, the pattern of special tokens."""

import pytest
from tokenizers import pre_tokenizers

from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.vocabulary import (
    END_OF_TEXT,
    byte_alphabet,
    check_special_tokens,
    learned_vocabulary,
    piece_bytes,
    special_pattern,
)


def test_the_alphabet_is_the_librarys():
    assert sorted(byte_alphabet()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_alphabet().values()) == list(range(256))


@pytest.mark.parametrize("text", ["A b\n", "é北🙂", "\x00\x7f\xa0\xad"])
def test_a_piece_stands_for_the_bytes_of_its_text(text):
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    assert b"".join(piece_bytes(piece) for piece, _ in pieces) == text.encode()


def test_a_piece_outside_the_alphabet_stands_for_itself():
    assert piece_bytes("北") == "北".encode()


def test_numbers_follow_bytes_merges_special_tokens_end_of_text():
    vocabulary = learned_vocabulary([("a", "b"), ("b", "c"), ("a", "b")], ["<|x|>"])
    assert [vocabulary[piece] for piece in ("Ā", "a", "ÿ", "ab", "bc", "<|x|>", END_OF_TEXT)] == [
        0,
        97,
        255,
        256,
        257,
        258,
        259,
    ]


def test_of_special_tokens_the_longest_is_taken():
    pattern = special_pattern("all", ["<a>", "<a>b", "."])
    assert pattern.split("<a>b<a>.x") == ["", "<a>b", "", "<a>", "", ".", "x"]
    assert special_pattern({"<a>"}, ["<a>", "<a>b"]).split("<a>b.") == ["", "<a>", "b."]


def test_a_name_that_is_no_special_token_is_refused():
    with pytest.raises(UsageError, match="did you mean '<a>'"):
        special_pattern(["<a"], ["<a>"])


@pytest.mark.parametrize("name", ["ab", "a", "Ġ"])
def test_a_special_token_that_text_merges_into_is_refused(name):
    merges = [("a", "b")]
    vocabulary = [*byte_alphabet(), "ab", "<|x|>"]
    check_special_tokens(["<|x|>"], vocabulary, merges)
    with pytest.raises(UsageError, match=f"special token '{name}' is also a piece of ordinary text"):
        check_special_tokens(["<|x|>", name], vocabulary, merges)


def test_a_special_token_has_a_name():
    with pytest.raises(UsageError, match="a special token has no name"):
        check_special_tokens([""], [*byte_alphabet(), ""], [])


def test_a_special_token_must_have_an_id():
    with pytest.raises(UsageError, match="has no <.y.>"):
        check_special_tokens(["<|y|>"], byte_alphabet(), [])
