"""Ids of bytes that may be no text, against tiktoken's."""

import random

import pytest
import tiktoken

from kerasgpt.tokenizer.bpe import Tokenizer

GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
TEXTS = ["", "Hello world", "a.\n\nb", "  leading, trailing  \n\n\t", "naïve café, 北京 🙂", "a" * 3000]


@pytest.fixture(scope="module")
def gpt2() -> Tokenizer:
    return Tokenizer.from_preset("gpt2")


@pytest.fixture(scope="module")
def official(gpt2) -> tiktoken.Encoding:
    ranks = {piece: index for index, piece in enumerate(gpt2.pieces) if piece}
    return tiktoken.Encoding("gpt2", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={})


MALFORMED = [
    b"\xff",
    b"caf\xc3",
    b"two words\xff and more",
    b"  \n\n \xe4\xb8 x",
    b"end. \xf0\x9f\x99",
    b"\xed\xa0\x80\xc0\xaf",
    "naïve 北京🙂".encode()[:-2] + b" after",
]


@pytest.mark.parametrize("data", [*MALFORMED, *(text.encode() for text in TEXTS)])
def test_bytes_have_tiktokens_ids_and_come_back(gpt2, official, data):
    ids = gpt2.encode_bytes(data)
    assert ids == official._encode_bytes(data)
    assert gpt2.decode_bytes(ids) == data


def test_random_bytes_have_tiktokens_ids(gpt2, official):
    generator = random.Random(5)
    texts = [" a word, ", "é", "北京", "🙂", "\n\n", "  ", "\t", "12", "'s"]
    for _ in range(1000):
        whole = "".join(generator.choices(texts, k=generator.randrange(6))).encode()
        data = whole + generator.randbytes(generator.randrange(4)) + whole[: generator.randrange(8)]
        assert gpt2.encode_bytes(data) == official._encode_bytes(data), data
