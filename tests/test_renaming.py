"""A folder takes another's place at once, and gives it back if that one may not go."""

import os
import sys
import threading
from pathlib import Path

import pytest

from kerasgpt import renaming
from kerasgpt.renaming import exchanged, take_place, temporary_prefix


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").write_text(name)
    return tmp_path / "new", tmp_path / "old"


@pytest.fixture(params=["at once", "one after the other"])
def way(request, monkeypatch) -> None:
    """Both ways: that of Linux, and that of other systems."""
    if request.param != "at once":
        monkeypatch.setattr(renaming, "exchanged", lambda one, other: False)


@pytest.mark.usefixtures("way")
def test_the_new_one_takes_its_place(folders):
    new, target = folders
    take_place(new, target, lambda _: True)
    assert (target / "content").read_text() == "new"
    left = [path for path in target.parent.iterdir() if path != target]
    assert all(path == new and (path / "content").read_text() == "old" for path in left)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("looks", [[False], [True, False]], ids=["before", "in the last moment"])
def test_what_may_not_go_stays(folders, looks):
    new, target = folders
    answers = iter(looks)
    with pytest.raises(FileExistsError, match="something else has been put there meanwhile"):
        take_place(new, target, lambda _: next(answers))
    assert (target / "content").read_text() == "old"
    assert (new / "content").read_text() == "new"
    assert sorted(os.listdir(target.parent)) == ["new", "old"]


def test_a_reader_finds_one_of_them_at_any_moment(folders):
    new, target = folders
    is_at_once = exchanged(new, target)
    assert is_at_once or sys.platform != "linux"
    is_over, missed = threading.Event(), []

    def look() -> None:
        while not is_over.is_set():
            try:
                (target / "content").read_text()
            except FileNotFoundError as error:
                missed.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(2000):
        take_place(new, target, lambda _: True)
    is_over.set()
    reader.join()
    assert not (is_at_once and missed)


def test_what_is_not_there_cannot_be_exchanged(tmp_path):
    (tmp_path / "one").mkdir()
    with pytest.raises(FileNotFoundError):
        exchanged(tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize("name", ["bundle", "x" * 255, "é" * 127, "🙂" * 63])
def test_a_temporary_name_is_no_longer_than_names_may_be(tmp_path, name):
    (tmp_path / name).mkdir()
    beside = tmp_path / (temporary_prefix(tmp_path / name) + "a" * 16)
    beside.mkdir()
    assert beside.name.startswith(f".{name[:20]}")
