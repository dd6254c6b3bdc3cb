import json

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.base import Outcome
from kerasgpt.tasks.files.outcome_file import OutcomeFile

SUBJECT = {"task": "lambada", "data": ["abc"], "settings": {"shots": 1, "stop": ("x",)}}
ONE, TWO = Outcome({"correct": 1}, {"prediction": "é"}), Outcome({"correct": 0})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "result.outcomes.jsonl"


def test_what_was_written_is_there_again(path) -> None:
    OutcomeFile(path, SUBJECT).add([4, 0], ["a, line 5", "a, line 1"], [ONE, TWO])
    assert OutcomeFile(path, SUBJECT).outcomes == {4: ONE, 0: TWO}
    first, second, _ = path.read_text().splitlines()
    assert json.loads(first)["task"] == "lambada"
    assert json.loads(second) == {
        "example": 4,
        "place": "a, line 5",
        "counts": {"correct": 1},
        "details": {"prediction": "é"},
    }


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_torn_line_is_dropped_and_written_again(path, cut: int) -> None:
    OutcomeFile(path, SUBJECT).add([0, 1], ["a", "b"], [ONE, TWO])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    again = OutcomeFile(path, SUBJECT)
    assert again.outcomes == {0: ONE}
    again.add([1], ["b"], [TWO])
    assert path.read_bytes() == whole


def test_killed_in_its_first_line_it_begins_anew(path) -> None:
    OutcomeFile(path, SUBJECT)
    whole = path.read_bytes()
    path.write_bytes(whole[:7])
    assert OutcomeFile(path, SUBJECT).outcomes == {}
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"task": "x"}, "task"), ({"data": ["abd"]}, "data"), ({"batch_size": 3}, "batch size")],
)
def test_another_subject_is_refused(path, changed: dict, named: str) -> None:
    OutcomeFile(path, SUBJECT).add([0], ["a"], [ONE])
    before = path.read_bytes()
    with pytest.raises(KerasGPTError, match=f"was begun with another {named}: .*--restart"):
        OutcomeFile(path, {**SUBJECT, **changed})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "sentence"), [("hello\n", "is no file of outcomes"), ("[1]\n", "is no file of outcomes")]
)
def test_other_files_are_left_alone(path, content: str, sentence: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(KerasGPTError, match=sentence):
        OutcomeFile(path, SUBJECT)
    assert path.read_text() == content


def test_a_damaged_line_is_named(path) -> None:
    OutcomeFile(path, SUBJECT)
    path.write_text(path.read_text() + '{"example": 1}\n')
    with pytest.raises(KerasGPTError, match="damaged; remove it"):
        OutcomeFile(path, SUBJECT)


def test_a_place_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KerasGPTError, match="cannot"):
        OutcomeFile(tmp_path / "file" / "result.outcomes.jsonl", SUBJECT)
