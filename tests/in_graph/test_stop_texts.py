"""Stop texts against Python's own strings."""

import tensorflow as tf

from kerasgpt.generation.stopping import StopStrings
from kerasgpt.in_graph.stop_texts import before_a_beginning, cut_at_stop, holds

PAIRS = [
    ("abcabc", "ca"),
    ("abcabc", ""),
    ("", "x"),
    ("aEN", "END"),
    ("aE", "END"),
    ("aEND b END", "END"),
    ("aaa", "aab"),
    ("aab", "aab"),
    ("naïve ", "ïv"),
    ("x\ny", "\n"),
]
DATA = tf.constant([data.encode() for data, _ in PAIRS])
STOP = tf.constant([stop.encode() for _, stop in PAIRS])


def test_a_text_holds_its_stop_text_or_not():
    assert holds(DATA, STOP).numpy().tolist() == [bool(stop) and stop in data for data, stop in PAIRS]
    assert not holds(DATA, tf.fill([len(PAIRS)], "")).numpy().any()


def test_the_text_before_it():
    expected = [data.split(stop)[0] if stop else data for data, stop in PAIRS]
    assert [text.decode() for text in cut_at_stop(DATA, STOP).numpy()] == expected


def test_what_may_begin_it_is_held_back():
    for data, stop in PAIRS:
        if not stop or stop in data:
            continue
        certain = StopStrings([stop]).push(data)
        found = before_a_beginning(tf.constant([data.encode()]), tf.constant([stop.encode()]))
        assert found.numpy()[0].decode() == certain, (data, stop)
    # A row without a stop text, alone and beside one that has one.
    texts, stops = tf.constant(["abc", "abc"]), tf.constant(["", "cd"])
    assert before_a_beginning(texts[:1], stops[:1]).numpy().tolist() == [b"abc"]
    assert before_a_beginning(texts, stops).numpy().tolist() == [b"abc", b"ab"]
