"""Requests: what is refused, row by row, in the words of GenerationConfig."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from kerasgpt.errors import UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.in_graph.requests import SETTINGS, id_errors, request_of

GOOD = {name: default if name != "max_new_tokens" else 5 for name, (_, default) in SETTINGS.items()}


def settings(rows: int = 1, **changes: Any) -> list[Any]:
    values = {**GOOD, **changes}
    return [tf.fill([rows], tf.constant(values[name], dtype)) for name, (dtype, _) in SETTINGS.items()]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", -1),
        ("temperature", -0.5),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", 1e-12),
        ("max_new_tokens", 2**31),
        ("top_k", -3),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_p", float("nan")),
        ("min_p", -0.1),
        ("min_p", 2.0),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", float("nan")),
    ],
)
def test_a_row_that_makes_no_sense_says_so_and_asks_for_nothing(name: str, value: Any) -> None:
    rows = [
        tf.concat(pair, 0) for pair in zip(settings(), settings(**{name: value}), settings(), strict=True)
    ]
    request, error = request_of(tf.constant(3), rows)
    assert error.numpy().tolist()[::2] == [b"", b""]
    with pytest.raises(UsageError) as refused:
        GenerationConfig(**{name: value})
    wanted = str(refused.value).split(": ")[1]
    assert error[1].numpy().decode().startswith(f"{name} is ")
    assert error[1].numpy().decode().endswith(wanted)
    assert request.max_new_tokens.numpy().tolist() == [5, 0, 5]
    assert not any(np.isnan(value.numpy().astype(float)).any() for value in request.knobs)


def test_one_value_is_for_all_rows_and_any_other_number_is_refused() -> None:
    request, error = request_of(tf.constant(4), settings(1, top_k=7))
    assert request.knobs.top_k.numpy().tolist() == [7, 7, 7, 7]
    assert error.numpy().tolist() == [b""] * 4
    assert request_of(tf.constant(0), settings(1))[1].shape == (0,)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one value for each row, or one for all"):
        request_of(tf.constant(4), settings(3))


def test_ids_and_lengths_are_checked_row_by_row() -> None:
    ids = tf.constant([[0, 9], [10, 3], [3, -1], [3, 99], [1, 1], [1, 1]], tf.int64)
    errors = id_errors(ids, tf.constant([2, 2, 2, 1, 3, -1], tf.int64), 10).numpy()
    assert errors[0] == errors[3] == b""  # what is beyond the length does not count
    assert errors[1] == b"input_ids holds id 10: ids go from 0 to 9"
    assert errors[2] == b"input_ids holds id -1: ids go from 0 to 9"
    assert errors[4] == b"lengths is 3: it must be from 0 to 2, the width of input_ids"
    assert errors[5].startswith(b"lengths is -1")
    with pytest.raises(tf.errors.InvalidArgumentError, match="one number for each row"):
        id_errors(ids, tf.constant([1], tf.int64), 10)


@pytest.mark.parametrize(("name", "value"), [("temperature", 1e-10), ("top_p", 1e-38), ("min_p", -1e-12)])
def test_a_small_number_is_not_told_as_zero(name: str, value: float) -> None:
    _, error = request_of(tf.constant(1), settings(**{name: value}))
    said = error[0].numpy().decode().removeprefix(f"{name} is ").split(":")[0]
    assert float(said) == pytest.approx(value, rel=1e-5)
