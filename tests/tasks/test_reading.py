import pytest

from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.reading import ANSWERS, place_of, read_records, write_records
from kerasgpt.tasks.templates import FIELDS


@pytest.mark.parametrize("task", FIELDS)
def test_what_is_written_is_read_again_and_numbered(task, tmp_path):
    records = [
        TaskRecord({name: f"{name} {number} é" for name in FIELDS[task]}, ("a", f"b{number}"), "", "")
        for number in range(3)
    ]
    write_records(task, records, tmp_path / "a.jsonl")
    again = list(read_records(task, [tmp_path / "a.jsonl"]))
    assert [record.fields for record in again] == [record.fields for record in records]
    assert [record.answers for record in again] == [record.answers for record in records]
    assert [record.number for record in again] == [0, 1, 2]


def test_every_task_has_a_name_for_its_answers():
    assert set(ANSWERS) == set(FIELDS)


def test_groups_fall_evenly():
    places = [place_of(f"article {number}") for number in range(2000)]
    assert sum(place < 0.25 for place in places) == pytest.approx(500, abs=60)


def test_nothing_to_read_is_told(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(KerasGPTError, match=r"a.jsonl: holds no record"):
        list(read_records("completion", [tmp_path / "a.jsonl"]))
    with pytest.raises(UsageError, match="name at least one file for completion"):
        read_records("completion", [])
    with pytest.raises(UsageError, match="unknown task 'translate': did you mean 'translation'"):
        read_records("translate", ["a"])
