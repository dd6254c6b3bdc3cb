"""Pieces of a stream never split a character, and joined they are the decoded whole."""

import random

import pytest

from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.streaming import StreamingDecoder


@pytest.mark.parametrize("text", ["plain text", "naïve 北京 🙂👩‍👩‍👧‍👦", ""])
def test_pieces_are_whole_characters_and_join_to_the_text(text):
    tokenizer = Tokenizer.learn(["only ASCII here"], 257)  # every byte is a token: characters arrive in parts
    decoder = StreamingDecoder(tokenizer)
    pieces = [decoder.push(index) for index in tokenizer.encode(text)]
    assert all("\ufffd" not in piece for piece in pieces)
    assert "".join(pieces) + decoder.flush() == text


def test_joined_pieces_equal_decode_on_random_ids():
    tokenizer = Tokenizer.from_preset("gpt2")
    generator = random.Random(7)
    for _ in range(300):
        ids = [generator.randrange(tokenizer.vocabulary_size) for _ in range(20)]
        ids += [generator.randrange(256) for _ in range(10)]  # single bytes, mostly malformed
        for skip in (True, False):
            decoder = StreamingDecoder(tokenizer, skip_special_tokens=skip)
            joined = "".join(decoder.push(index) for index in ids) + decoder.flush()
            assert joined == tokenizer.decode(ids, skip_special_tokens=skip)


def test_an_unfinished_character_is_replaced_at_the_end():
    tokenizer = Tokenizer.learn([], 257)
    decoder = StreamingDecoder(tokenizer)
    assert decoder.push(0xF0) == ""
    assert decoder.flush() == "\ufffd"
