"""What each row of a request asks for: its settings, and a sentence where they make no sense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from kerasgpt.generation_config import HIGHEST
from kerasgpt.in_graph.sampling import Knobs


class Request(NamedTuple):
    """What each row asks for.

    Attributes:
        max_new_tokens: int64 (B,).
        knobs: of its sampling.
        stop: string (B,), a text that ends the row; empty means none.
    """

    max_new_tokens: Any
    knobs: Knobs
    stop: Any


SETTINGS: dict[str, tuple[Any, Any]] = {
    "max_new_tokens": (tf.int64, None),  # as the generation config says
    "temperature": (tf.float32, 0.0),
    "top_k": (tf.int64, 0),
    "top_p": (tf.float32, 1.0),
    "min_p": (tf.float32, 0.0),
    "repetition_penalty": (tf.float32, 1.0),
    "seed": (tf.int64, 0),
    "stop": (tf.string, ""),
}
"""Settings of a signature, in its order: dtype and default of each, which changes nothing."""

_Rule = tuple[Callable[[Any], Any], str]
_RULES: dict[str, _Rule] = {
    "max_new_tokens": (
        lambda value: (value >= 0) & (value <= HIGHEST),
        f"0 or more, an integer of at most {HIGHEST}",
    ),
    "temperature": (
        lambda value: (value == 0) | ((value >= 1e-9) & (value <= 1e9)),
        "0 (greedy) or a positive number, from 1e-9 to 1e9",
    ),
    "top_k": (
        lambda value: (value >= 0) & (value <= HIGHEST),
        f"0 (off) or more, an integer of at most {HIGHEST}",
    ),
    "top_p": (lambda value: (value >= 1e-30) & (value <= 1), "above 0, from 1e-30 to 1 (off)"),
    "min_p": (lambda value: (value >= 0) & (value <= 1), "from 0 (off) to 1"),
    "repetition_penalty": (
        lambda value: (value >= 1e-9) & (value <= 1e9),
        "a positive number, from 1e-9 to 1e9, 1 being off",
    ),
}
"""Setting -> what holds for it, and that in words, as in `GenerationConfig`."""


def request_of(batch: Any, settings: Sequence[Any]) -> tuple[Request, Any]:
    """The settings of a signature's rows.

    Args:
        batch: int32 (), B.
        settings: all of `SETTINGS`, in their order, each (B,), or (1,) for what all rows have in common.

    Returns:
        The request, harmless where it made no sense, and what is wrong there: string (B,), "" for nothing.

    Raises:
        InvalidArgumentError: a setting has another number of rows; the request as a whole is refused.
    """
    rows = {name: for_all_rows(value, batch, name) for name, value in zip(SETTINGS, settings, strict=True)}
    error = tf.fill([batch], "")
    for name, (holds, wanted) in _RULES.items():
        sentence = tf.strings.join([f"{name} is ", _shown(rows[name]), f": it must be {wanted}"])
        error = tf.where((error == "") & ~holds(rows[name]), sentence, error)
    return harmless(_request(rows), error), error


def _shown(numbers: Any) -> Any:
    """Numbers as texts, with the digits that tell them apart; 0.000000 would hide that one is not 0."""
    return tf.strings.as_string(numbers, shortest=numbers.dtype.is_floating)


def greedy_request(batch: Any, max_new_tokens: int) -> Request:
    """What rows ask for that say nothing: the most probable token, again and again."""
    defaults = {name: default for name, (_, default) in SETTINGS.items()} | {"max_new_tokens": max_new_tokens}
    return _request(
        {name: tf.fill([batch], tf.constant(defaults[name], dtype)) for name, (dtype, _) in SETTINGS.items()}
    )


def harmless(request: Request, error: Any) -> Request:
    """The request, with nothing asked for in rows of which something is wrong."""
    nothing = greedy_request(tf.size(error), 0)
    return tf.nest.map_structure(lambda none, given: tf.where(error == "", given, none), nothing, request)


def first_error(*errors: Any) -> Any:
    """What is wrong with each row first: string (B,) each."""
    first = errors[0]
    for error in errors[1:]:
        first = tf.where(first == "", error, first)
    return first


def id_errors(ids: Any, lengths: Any, num_ids: int) -> Any:
    """What is wrong with rows of ids int64 (B, T), of which `lengths` int64 (B,) count: string (B,)."""
    batch, width = tf.unstack(tf.shape(ids, tf.int64))
    message = "lengths must have one number for each row of input_ids"
    lengths = where_equal(tf.size(lengths, tf.int64), batch, message, lengths)
    counts = tf.sequence_mask(tf.clip_by_value(lengths, 0, width), width)
    wrong = counts & ((ids < 0) | (ids >= num_ids))
    # The first wrong id of each row; a column of zeros stands for rows without any.
    column = tf.argmax(tf.concat([wrong, tf.zeros([batch, 1], tf.bool)], 1), axis=1)
    found = tf.gather(tf.concat([ids, tf.zeros([batch, 1], tf.int64)], 1), column, batch_dims=1)
    sentence = tf.strings.join(
        ["input_ids holds id ", tf.strings.as_string(found), f": ids go from 0 to {num_ids - 1}"]
    )
    beyond = tf.strings.join(
        [
            "lengths is ",
            tf.strings.as_string(lengths),
            ": it must be from 0 to ",
            tf.strings.as_string(width),
            ", the width of input_ids",
        ]
    )
    has_wrong = tf.reduce_any(wrong, axis=1)
    return first_error(
        tf.where((lengths < 0) | (lengths > width), beyond, ""), tf.where(has_wrong, sentence, "")
    )


def where_equal(first: Any, second: Any, message: str, value: Any) -> Any:
    """The value, if two numbers are equal.

    What is computed from it waits for that: else an op which cannot do with such shapes may fail before.

    Raises:
        InvalidArgumentError: they are not, with the message.
    """
    with tf.control_dependencies([tf.debugging.assert_equal(first, second, message)]):
        return tf.identity(value)


def for_all_rows(value: Any, batch: Any, name: str) -> Any:
    """A setting of all rows: (B,) or (1,) -> (B,).

    Raises:
        InvalidArgumentError: it has another number of rows.
    """
    rows = tf.size(value)
    message = f"{name} must have one value for each row, or one for all"
    with tf.control_dependencies(
        [tf.debugging.Assert((rows == batch) | (rows == 1), [message, rows, batch])]
    ):
        return tf.broadcast_to(value, [batch])


def _request(rows: dict[str, Any]) -> Request:
    knobs = Knobs(**{name: rows[name] for name in Knobs._fields})
    return Request(rows["max_new_tokens"], knobs, rows["stop"])
