"""Files on a disk and behind an address: found, read, and written as a whole or not at all."""

import gzip

import pytest

from kerasgpt.bulk import storage
from kerasgpt.errors import KerasGPTError, UsageError


def read(path) -> bytes:
    with storage.opened(str(path)) as file:
        return file.read()


@pytest.fixture(params=["disk", "address"])
def folder(request, tmp_path, memory) -> str:
    return str(tmp_path) if request.param == "disk" else "memory://bucket/out"


def test_what_is_written_is_read_found_and_deleted(folder):
    path = storage.join(folder, "b.txt")
    assert not storage.exists(path)
    storage.write(path, b"old")
    storage.write(path, b"new")
    storage.write(storage.join(folder, "a.txt"), b"a")
    assert (storage.exists(path), read(path)) == (True, b"new")
    assert storage.names(folder) == ["a.txt", "b.txt"]
    assert storage.find(path) == [path]
    assert storage.find(storage.join(folder, "*.txt")) == [
        storage.join(folder, n) for n in ("a.txt", "b.txt")
    ]
    storage.delete(path)
    storage.delete(path)
    assert storage.names(folder) == ["a.txt"]


def test_an_address_is_written_beside_its_place_and_then_renamed(memory, monkeypatch):
    seen = []
    rename = storage.FileSystems.rename
    monkeypatch.setattr(
        storage.FileSystems, "rename", lambda *paths: (seen.append((dict(memory), *paths)), rename(*paths))
    )
    storage.write("memory://bucket/part.jsonl", b"all of it")
    ((files, (beside,), (place,)),) = seen
    assert (place, files) == ("memory://bucket/part.jsonl", {beside: b"all of it"})
    assert beside.startswith("memory://bucket/.part.jsonl.tmp-")
    assert memory == {place: b"all of it"}


def test_what_a_killed_writer_left_is_not_named_and_is_swept_away(folder):
    for name in (".part-0.jsonl.tmp-abc", "part-0.jsonl", "job.tmp-1"):
        storage.write(storage.join(folder, name), b"")
    assert storage.names(folder) == ["job.tmp-1", "part-0.jsonl"]
    storage.sweep(folder)
    assert not storage.exists(storage.join(folder, ".part-0.jsonl.tmp-abc"))
    assert storage.names(folder) == ["job.tmp-1", "part-0.jsonl"]


def test_a_gz_is_unpacked_and_can_be_read_from_the_middle(tmp_path, memory):
    packed = gzip.compress(b"one\ntwo\n")
    (tmp_path / "a.gz").write_bytes(packed)
    memory["memory://bucket/a.gz"] = packed
    for path in (tmp_path / "a.gz", "memory://bucket/a.gz"):
        with storage.opened(str(path)) as file:
            file.seek(4)
            assert list(file) == [b"two\n"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:20] + b"x" * 40, lambda _: b"no"]
)
def test_a_damaged_gz_is_refused_by_its_name(tmp_path, damage):
    (tmp_path / "a.gz").write_bytes(damage(gzip.compress(b"one\ntwo\n" * 100)))
    with pytest.raises(KerasGPTError, match="a.gz: cannot read"):
        read(tmp_path / "a.gz")


def test_names_with_brackets_are_names_and_no_patterns(tmp_path):
    folder = tmp_path / "out[1]"
    storage.write(str(folder / "a[2].txt"), b"a")
    assert storage.find(str(folder / "a[2].txt")) == [str(folder / "a[2].txt")]
    assert storage.names(str(folder)) == ["a[2].txt"]


def test_what_is_not_there(tmp_path):
    assert storage.names(str(tmp_path / "nowhere")) == []
    for path in (tmp_path / "no.txt", tmp_path / "*.txt"):
        with pytest.raises(KerasGPTError, match="no such file"):
            storage.find(str(path))
    with pytest.raises(UsageError, match=r"is a folder; name its files"):
        storage.find(str(tmp_path))
    with pytest.raises(KerasGPTError, match=r"cannot read \(No such file"):
        read(tmp_path / "no.txt")
    with pytest.raises(KerasGPTError, match="nonesuch://bucket/a: cannot read"):
        storage.find("nonesuch://bucket/a")


def test_an_error_of_whoever_reads_keeps_its_words(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(UsageError, match="^mine$"), storage.opened(str(tmp_path / "a")):
        raise UsageError("mine")
