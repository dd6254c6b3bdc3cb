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


def test_many_names_are_listed_only_where_none_is_near():
    names = [f"{word}_steps" for word in "abcdefghijklmnopqrst"]
    near = unknown_name("setting", "a_step", names, prefix="train.")
    assert str(near) == "unknown setting 'train.a_step': did you mean 'train.a_steps'?"
    assert "Known: train.a_steps, train.b_steps" in str(
        unknown_name("setting", "zzz", names, prefix="train.")
    )


def test_what_all_names_begin_with_makes_none_near():
    assert "did you mean" not in str(unknown_name("setting", "zzz", ["steps", "seed"], prefix="train."))
