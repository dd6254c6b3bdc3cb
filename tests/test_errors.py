"""Sentences that name the nearest right name."""

import pytest

from kerasgpt.errors import UsageError, first_line, unknown_name


def test_a_name_like_no_other_gets_the_list():
    error = unknown_name("format", "zzz", ["onnx", "saved_model"])
    assert isinstance(error, UsageError)
    assert str(error) == "unknown format 'zzz': Known: onnx, saved_model"


@pytest.mark.parametrize(
    ("message", "line"), [("one\ntwo", "one"), ("\n one\n", "one"), ("", "OSError"), ("\n", "OSError")]
)
def test_an_error_has_a_first_line_even_without_a_message(message, line):
    assert first_line(OSError(message)) == line
