"""A setting's text and type: what is read as what, and what is refused."""

from pathlib import Path
from typing import Literal

import pytest

from kerasgpt.data.sources import expand
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.training.values import absolute_pattern, parse_override, typed

SECTIONS = ("data", "train")


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("train.x=5", 5),
        ("train.x = 1e-3", 1e-3),
        ("train.x=true", True),
        ('train.x="5"', "5"),
        ("train.x=['a', 'b']", ["a", "b"]),
        ("train.x=a bare word", "a bare word"),
        ("train.x=a=b", "a=b"),
        ("train.x=", ""),
        ("train.x=" + "1" * 5000, "1" * 5000),
    ],
)
def test_a_value_is_tomls_or_a_bare_word(override, value):
    assert parse_override(override, SECTIONS) == ("train", "x", value)


@pytest.mark.parametrize("override", ["train.x", "x=3", "train.=3", ""])
def test_another_form_is_refused(override):
    with pytest.raises(UsageError, match=r"write it as section\.key=value"):
        parse_override(override, SECTIONS)


def test_an_unknown_section_is_named_with_the_nearest():
    with pytest.raises(UsageError, match="unknown section 'trian': did you mean 'train'"):
        parse_override("trian.x=3", SECTIONS)


@pytest.mark.parametrize(
    ("value", "wanted", "result"),
    [
        (3, int, 3),
        (3, float, 3.0),
        ("a", tuple[str, ...], ("a",)),
        (["a", "b"], tuple[str, ...], ("a", "b")),
        ([1, 0.5], tuple[float, ...], (1.0, 0.5)),
        (2, tuple[float, ...], (2.0,)),
        (False, bool | str, False),
        ("auto", bool | str, "auto"),
        (None, int | None, None),
        ("strict", Literal["strict", "replace"], "strict"),
    ],
)
def test_a_value_of_the_right_type_is_taken(value, wanted, result):
    taken = typed("train.x", value, wanted)
    assert (taken, type(taken)) == (result, type(result))


@pytest.mark.parametrize(
    ("value", "wanted", "words"),
    [
        (True, int, "a whole number"),
        (1.5, int, "a whole number"),
        ("1", float, "a number"),
        (1, bool, "true or false"),
        (1, str, "a text"),
        ([1], tuple[str, ...], "a list of texts"),
        (["a"], tuple[float, ...], "a list of numbers"),
        ("a", tuple[float, ...], "a list of numbers"),
        (10**400, float, "a number, and none beyond 1.8e308"),
        ([10**400], tuple[float, ...], "a number, and none beyond 1.8e308"),
    ],
)
def test_a_value_of_another_type_is_refused_in_words(value, wanted, words):
    with pytest.raises(UsageError, match=f"train.x is .*: it must be {words}$"):
        typed("train.x", value, wanted)


def test_a_pattern_stays_in_its_folder_whatever_that_is_called(tmp_path, monkeypatch):
    for name in ("exp[12]", "exp1"):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "a.txt").write_text(name)
    monkeypatch.chdir(tmp_path / "exp[12]")
    here = Path.cwd()
    assert absolute_pattern("a.txt") == str(here / "a.txt")
    assert expand([absolute_pattern("*.txt")]) == [here / "a.txt"]
    assert absolute_pattern(absolute_pattern("*.txt")) == absolute_pattern("*.txt")
    assert absolute_pattern(str(tmp_path / "*.txt")) == str(tmp_path / "*.txt")
    monkeypatch.chdir(here / "data")
    assert expand([absolute_pattern("../[a].txt")]) == [here / "a.txt"]
    (here / "a.txt").unlink()
    with pytest.raises(KerasGPTError, match=r"exp\[12\]/a\.txt: there is no such file; check it"):
        expand([absolute_pattern("../a.txt")])
    with pytest.raises(KerasGPTError, match=r"exp\[12\]/\*\.bin: no file matches this pattern"):
        expand([absolute_pattern("../*.bin")])
