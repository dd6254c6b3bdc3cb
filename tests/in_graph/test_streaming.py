"""What waits is what Python's incremental decoder keeps back."""

import codecs
import itertools

import tensorflow as tf

from kerasgpt.in_graph.streaming import split_unfinished

# Each border of the table of well-formed byte sequences, and its neighbours.
BYTES = [0x00, 0x61, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED]
BYTES += [0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]


def kept_back(data: bytes) -> bytes:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    return decoder.getstate()[0]


def test_every_end_of_up_to_three_bytes():
    ends = [bytes(end) for length in range(4) for end in itertools.product(BYTES, repeat=length)]
    complete, waiting = (result.numpy().tolist() for result in split_unfinished(tf.constant(ends)))
    assert [a + b for a, b in zip(complete, waiting, strict=True)] == ends
    assert waiting == [kept_back(end) for end in ends]


def test_whole_characters_do_not_wait():
    texts = ["", "a", "né", "北京", "x🙂"]
    complete, waiting = split_unfinished(tf.constant(texts))
    assert [text.decode() for text in complete.numpy()] == texts
    assert waiting.numpy().tolist() == [b""] * 5
