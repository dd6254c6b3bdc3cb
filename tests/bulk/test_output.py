"""A shard's files: whole or not there, and never taken for finished when they are not."""

import json

import pytest

from kerasgpt.atomic import CannotWriteError
from kerasgpt.bulk import storage
from kerasgpt.bulk.answers import Answer
from kerasgpt.bulk.output import Output, rows
from kerasgpt.bulk.records import Record, Rejected
from kerasgpt.bulk.shards import Shard, ShardEntries
from kerasgpt.protocols import Score


def answer(index: int, results: int = 1) -> Answer:
    return Answer(Record(f"a:{index}", index, "naïve"), (Score(-1.0, 1, True),) * results, 3, False)


def error(index: int) -> Rejected:
    return Rejected(f"a:{index}", index, "bad", "北")


@pytest.fixture(params=["disk", "address"])
def output(request, tmp_path, memory) -> Output:
    return Output(str(tmp_path / "out") if request.param == "disk" else "memory://bucket/out", 3)


def test_a_shard_becomes_a_file_of_answers_and_one_of_errors(output):
    output.write(ShardEntries(1, (answer(0), error(1), answer(2))))
    output.write(ShardEntries(0, (answer(3),)))
    assert output.written() == {0, 1}
    assert [row["id"] for row in rows(output.folder)] == ["a:3", "a:0", "a:2"]
    assert output.path("errors", 1).endswith("/errors-00001-of-00003.jsonl")
    assert output.finished([Shard(0, 3, 1), Shard(1, 0, 3), Shard(2, 4, 1)]) == {0, 1}


def test_a_shard_of_errors_alone_is_finished(output):
    output.write(ShardEntries(2, (error(0), error(1))))
    assert output.finished([Shard(2, 0, 2)]) == {2}


def test_a_shard_that_is_repeated_is_there_once(output):
    output.write(ShardEntries(1, (answer(0), error(1))))
    output.write(ShardEntries(1, (answer(0), answer(1))))  # what failed before does not fail again
    assert [row["id"] for row in rows(output.folder)] == ["a:0", "a:1"]
    assert output.finished([Shard(1, 0, 2)]) == {1}


def test_several_samples_are_several_lines(tmp_path):
    output = Output(str(tmp_path), 3, answers_a_record=2)
    output.write(ShardEntries(0, (answer(0, 2), error(1), answer(2, 2))))
    assert output.finished([Shard(0, 0, 3)]) == {0}
    assert output.finished([Shard(0, 0, 4)]) == set()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],  # cut off within a line
        lambda data: data[: data.index(b"\n") + 1],  # cut off between lines
        lambda data: data[: data.index(b"\n") + 9],
        lambda data: b"",
        lambda data: data + data,
    ],
)
@pytest.mark.parametrize("kind", ["part", "errors"])
def test_a_file_that_is_not_whole_is_not_finished(tmp_path, kind, damage):
    output, shard = Output(str(tmp_path), 1), Shard(0, 0, 4)
    output.write(ShardEntries(0, (answer(0), error(1), answer(2), error(3))))
    assert output.finished([shard]) == {0}
    path = tmp_path / f"{kind}-00000-of-00001.jsonl"
    path.write_bytes(damage(path.read_bytes()))
    assert output.finished([shard]) == set()


def test_errors_without_answers_are_not_finished(output):
    output.write(ShardEntries(0, (error(0),)))

    storage.delete(output.path("part", 0))
    assert output.finished([Shard(0, 0, 1)]) == set()


def test_a_full_disk_leaves_no_shard(tmp_path, full_disk):
    output = Output(str(tmp_path), 1)
    entries = tuple(answer(number) for number in range(100))
    with full_disk(1000), pytest.raises(CannotWriteError, match="part-00000-of-00001.jsonl: cannot write"):
        output.write(ShardEntries(0, entries))
    assert output.finished([Shard(0, 0, 100)]) == set()
    assert list(tmp_path.iterdir()) == []


def test_lines_are_utf8(tmp_path):
    output = Output(str(tmp_path), 1)
    output.write(ShardEntries(0, (answer(0), error(1))))
    assert "naïve" in (tmp_path / "part-00000-of-00001.jsonl").read_text("utf-8")
    (line,) = (tmp_path / "errors-00000-of-00001.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line) == {"id": "a:1", "error": "bad", "input": "北"}


def test_answers_come_in_the_order_of_the_numbers(tmp_path):
    for number in (99_999, 100_001, 100_000):
        line = json.dumps({"id": number}) + "\n"
        (tmp_path / f"part-{number:05}-of-100002.jsonl").write_text(line)
    assert [row["id"] for row in rows(str(tmp_path))] == [99_999, 100_000, 100_001]
