"""Files fall into shards of so many records, each of which is read again from its own place."""

import gzip
import json

import pytest

from kerasgpt.bulk.records import Record, Rejected
from kerasgpt.bulk.shards import names_of, read, survey
from kerasgpt.errors import KerasGPTError, UsageError


@pytest.fixture
def files(tmp_path) -> list[str]:
    """Three files, eight records among them: text with empty lines, JSON lines, and text packed."""
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\n\n  \ntwo\r\nthree")
    (tmp_path / "b.jsonl").write_text('{"prompt": "four"}\nbad\n\n{"prompt": "six"}\n')
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"\nseven\neight\n"))
    return [str(tmp_path / name) for name in ("a.txt", "b.jsonl", "c.txt.gz")]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 100])
def test_every_record_is_in_one_shard_at_its_place(files, size):
    sources, shards = survey(files, size)
    assert [source.num_records for source in sources] == [3, 3, 2]
    assert [shard.num_records for shard in shards] == [size] * (8 // size) + ([8 % size] if 8 % size else [])
    found = [entry for shard in shards for entry in read(shard, "generate").entries]
    assert [entry.index for entry in found] == list(range(8))
    lines = [("a.txt", 1), ("a.txt", 4), ("a.txt", 5), ("b.jsonl", 1), ("b.jsonl", 2), ("b.jsonl", 4)]
    expected = [*lines, ("c.txt.gz", 2), ("c.txt.gz", 3)]
    assert [entry.id for entry in found] == [f"{name}:{line}" for name, line in expected]
    prompts = [entry.prompt if isinstance(entry, Record) else None for entry in found]
    assert prompts == ["one", "two", "three", "four", None, "six", "seven", "eight"]


def test_a_shard_is_read_the_same_alone(files):
    _, shards = survey(files, 3)
    forwards = [read(shard, "generate") for shard in shards]
    assert [read(shard, "generate") for shard in reversed(shards)] == forwards[::-1]
    assert [len(each) for each in forwards] == [3, 3, 2]


def test_what_is_asked_for_decides_what_a_record_needs(files, tmp_path):
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"prompt": "a", "continuation": "b"}) + "\n")
    _, shards = survey([str(tmp_path / "pairs.jsonl"), files[1]], 9)
    kinds = [type(entry) for entry in read(shards[0], "score").entries]
    assert kinds == [Record, Rejected, Rejected, Rejected]


def test_hashes_tell_a_change(files, tmp_path):
    before, _ = survey(files, 3)
    (tmp_path / "b.jsonl").write_text('{"prompt": "four"}\nbad\n\n{"prompt": "SIX"}\n')
    after, _ = survey(files, 7)
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_names_are_short_and_no_two_alike():
    assert names_of(["/d/a/x.txt", "/d/b/x.txt", "/d/y.txt"]) == ["a/x.txt", "b/x.txt", "y.txt"]
    assert names_of(["/d/ab/x", "/d/ac/x"]) == ["ab/x", "ac/x"]
    assert names_of(["gs://bucket/a/x", "gs://bucket/a/y"]) == ["x", "y"]
    with pytest.raises(UsageError, match="is named 2 times"):
        names_of(["/d/x", "/d/../d/x"])


def test_nothing_to_do_is_said(tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(KerasGPTError, match=r"empty.txt: no record in there"):
        survey([str(tmp_path / "empty.txt")], 3)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("To be\n".encode("utf-16"), "is UTF-16: convert it to UTF-8"),
        (b"\xfe\xff" + "To be\n".encode("utf-16-be"), "is UTF-16"),
        (gzip.compress(b"To be\n"), "is compressed by gzip: let its name end in .gz"),
        (b"PAR1\x15\x04", "is a parquet file: write its prompts as JSON lines"),
    ],
    ids=["UTF-16", "big-endian", "gzip", "parquet"],
)
def test_what_is_no_text_is_refused_before_a_line_of_it_is_answered(tmp_path, content, sentence):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(KerasGPTError, match=f"a.txt: {sentence}"):
        survey([str(tmp_path / "a.txt")], 3)


def test_a_file_that_has_become_shorter_is_noticed(files, tmp_path):
    _, shards = survey(files, 3)
    (tmp_path / "b.jsonl").write_text("{}\n")
    with pytest.raises(KerasGPTError, match="has become shorter"):
        read(shards[1], "generate")


def test_a_byte_order_mark_alone_is_no_record(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf \none\n")
    (tmp_path / "B.JSONL.GZ").write_bytes(gzip.compress(b'{"prompt": "two"}\n'))
    _, (shard,) = survey([str(tmp_path / name) for name in ("a.txt", "B.JSONL.GZ")], 9)
    found = read(shard, "generate").entries
    assert [(entry.id, entry.prompt) for entry in found] == [("a.txt:2", "one"), ("B.JSONL.GZ:1", "two")]
