"""Sentences that name the nearest right name."""

from kerasgpt.errors import UsageError, unknown_name


def test_a_name_like_no_other_gets_the_list():
    error = unknown_name("format", "zzz", ["onnx", "saved_model"])
    assert isinstance(error, UsageError)
    assert str(error) == "unknown format 'zzz': Known: onnx, saved_model"
