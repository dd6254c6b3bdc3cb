"""Shards on disk: whole or not there, their ids as one, documents found by their index."""

import numpy as np
import pytest

from kerasgpt.data import shards as module
from kerasgpt.data.encoding import Row
from kerasgpt.data.shards import JoinedIds, PartSize, Shard, write_shard
from kerasgpt.errors import KerasGPTError


def rows():
    """Three documents of two pieces each, in turn to train on and to test."""
    for number in range(3):
        part = ("train", "test")[number % 2]
        yield Row(part, np.array([9, number, number], np.uint16), 20, True)
        yield Row(part, np.array([number], np.uint16), 5, False)


def test_a_shard_holds_the_rows_of_each_part_and_where_documents_begin(tmp_path):
    shard = write_shard(tmp_path / "shard", rows(), source=4)
    assert Shard.read(tmp_path / "shard") == shard
    assert (shard.source, shard.num_pieces) == (4, 6)
    assert shard.sizes["train"] == PartSize(50, 8, 2)
    assert shard.ids("train", "uint16").tolist() == [9, 0, 0, 0, 9, 2, 2, 2]
    assert shard.document_starts("train").tolist() == [0, 4]
    assert shard.ids("test", "uint16").tolist() == [9, 1, 1, 1]
    assert shard.document_starts("validation").tolist() == []
    assert sorted(path.name for path in (tmp_path / "shard").iterdir()) == [
        "index.json",
        "test.bin",
        "test.documents",
        "train.bin",
        "train.documents",
    ]
    shard.require_files("uint16")


def test_what_does_not_fit_is_left_for_the_next_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOKENS_PER_SHARD", 5)
    stream = rows()
    first = write_shard(tmp_path / "0", stream, 0)
    second = write_shard(tmp_path / "1", stream, 0)
    assert (first.num_pieces, second.num_pieces) == (3, 3)
    assert second.ids("test", "uint16").tolist() == [1]
    assert second.document_starts("test").tolist() == []
    assert second.document_starts("train").tolist() == [0]
    assert write_shard(tmp_path / "2", stream, 0) is None
    assert not (tmp_path / "2").exists()


def test_a_shard_that_fails_is_not_there(tmp_path):
    def broken():
        yield next(rows())
        raise KerasGPTError("bad data")

    with pytest.raises(KerasGPTError, match="bad data"):
        write_shard(tmp_path / "shard", broken(), 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["train.bin", "train.documents", "test.bin"])
def test_files_of_another_length_are_noticed(tmp_path, name):
    shard = write_shard(tmp_path / "shard", rows(), 0)
    with (tmp_path / "shard" / name).open("ab") as file:
        file.write(b"\x00")
    with pytest.raises(ValueError, match=f"shard/{name} is not"):
        shard.require_files("uint16")


@pytest.mark.parametrize("text", ["{}", '{"source": 0, "num_pieces": 1, "sizes": {"train": {"size": 1}}}'])
def test_a_damaged_index_is_a_sentence(tmp_path, text):
    write_shard(tmp_path / "shard", rows(), 0)
    (tmp_path / "shard" / "index.json").write_text(text)
    with pytest.raises(KerasGPTError, match="shard: damaged token files"):
        Shard.read(tmp_path / "shard")


def test_joined_ids_are_those_of_one_array():
    whole = np.arange(23, dtype=np.uint16)
    joined = JoinedIds([whole[:5], whole[5:6], whole[6:20], whole[20:]])
    assert (len(joined), joined.dtype, joined.tolist()) == (23, np.uint16, whole.tolist())
    for start in range(-24, 25):
        for stop in (*range(start - 1, start + 12), None):
            np.testing.assert_array_equal(joined[start:stop], whole[start:stop])
