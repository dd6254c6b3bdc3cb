"""Values are read by type: numpy's as Python's, and no value as of a type that it only resembles."""

import copy
import json
import os
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest

from kerasgpt import checks
from kerasgpt.errors import UsageError


def _name(value):
    return value.__name__ if callable(value) else str(value)[:20]


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (checks.flag, np.bool_(False), False),
        (checks.integer, np.int8(3), 3),
        (checks.integer, -(2**70), -(2**70)),
        (checks.number, 2, 2.0),
        (checks.number, np.float32(0.5), 0.5),
        (checks.number, Fraction(1, 4), 0.25),
        (checks.ids, np.arange(3), (0, 1, 2)),
        (checks.ids, (), ()),
        (checks.texts, "END", ("END",)),
        (checks.texts, ["a", "", "b"], ("a", "b")),
        (checks.words, [[1], (2, 3)], ((1,), (2, 3))),
    ],
    ids=_name,
)
def test_what_is_meant_is_read(read, value, expected):
    found = read("setting", value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (checks.flag, 1),
        (checks.flag, "true"),
        (checks.integer, True),
        (checks.integer, np.bool_(True)),
        (checks.integer, 1.0),
        (checks.integer, "1"),
        (checks.number, True),
        (checks.number, "1"),
        (checks.number, 10**400),
        (checks.number, 1j),
        (checks.ids, "12"),
        (checks.ids, b"12"),
        (checks.ids, {1: 2}),
        (checks.ids, 1),
        (checks.texts, b"END"),
        (checks.texts, ["a", None]),
        (checks.words, [1]),
        (checks.words, ["ab"]),
    ],
    ids=_name,
)
def test_what_only_resembles_it_is_refused_in_one_line(read, value):
    with pytest.raises(UsageError, match=r"^(a member of )*setting is .*: it must be ") as caught:
        read("setting", value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_threads_are_no_more_than_four_a_core_or_256(monkeypatch):
    for cores, most in [(None, 256), (2, 256), (100, 400)]:
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert [checks.num_threads(np.int64(number)) for number in (0, 1, most)] == [0, 1, most]
        for wrong in (-1, most + 1, 2.0, "2", True):
            with pytest.raises(
                UsageError, match=f"is {wrong!r}: it must be 0 or more, an integer of at most {most}"
            ):
                checks.num_threads(wrong)
    with pytest.raises(UsageError, match="num_threads is 0: it must be 1 or more"):
        checks.num_threads(0, least=1)


def test_biases_are_by_id_and_within_bounds():
    assert checks.biases("bias", {"5": 1, np.int64(6): np.float32(-2)}, 2) == {5: 1.0, 6: -2.0}
    assert checks.biases("bias", [(5, 1)], 2) == {5: 1.0}
    for wrong in ({1.7: 1}, {5: 2.5}, {5: "1"}, {"a": 1}, {True: 1}, {5: float("nan")}):
        with pytest.raises(UsageError, match=f"bias is {re.escape(repr(wrong))}: it must be"):
            checks.biases("bias", {8: 0, **wrong}, 2)
    with pytest.raises(UsageError, match="bias is 5: it must be"):
        checks.biases("bias", 5, 2)


def test_biases_are_fixed_and_copied_whole():
    biases = checks.biases("bias", {5: 1}, 2)
    changes = [
        lambda: biases.__setitem__(5, 2.0),
        lambda: biases.__delitem__(5),
        lambda: biases.update({6: 1.0}),
        lambda: biases.setdefault(6, 1.0),
        lambda: biases.pop(5),
        biases.popitem,
        biases.clear,
    ]
    for change in changes:
        with pytest.raises(TypeError, match="logit_bias is frozen: make other settings"):
            change()
    for same in (copy.copy(biases), copy.deepcopy(biases), pickle.loads(pickle.dumps(biases))):
        assert same == {5: 1.0}
        assert type(same) is checks.FixedBiases
    assert json.dumps(biases) == '{"5": 1.0}'


def test_an_error_of_an_iterator_is_its_own():
    assert checks.several("prompts", iter(["a", "b"])) == ["a", "b"]
    with pytest.raises(TypeError, match="unsupported"):
        checks.several("prompts", (1 + each for each in "a"))


def test_one_text_is_no_list_of_texts():
    checks.refuse_text("prompts", ["abc"])
    with pytest.raises(UsageError, match=r"a list of prompts .* this is one text: write \['abc'\]"):
        checks.refuse_text("prompts", "abc")
