"""A failure leaves what was there, and nothing beside it."""

import errno
import os
import pickle
import shutil
import stat
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from kerasgpt import renaming
from kerasgpt.atomic import (
    CannotWriteError,
    atomic_file,
    atomic_folder,
    is_stream,
    require_place,
    unpatterned,
    write_text,
)
from kerasgpt.errors import KerasGPTError


def test_a_file_appears_whole(tmp_path):
    write_text(tmp_path / "deep" / "file.txt", "content")
    assert (tmp_path / "deep" / "file.txt").read_text() == "content"
    assert os.listdir(tmp_path / "deep") == ["file.txt"]


def test_a_failure_keeps_the_old_file(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("existed", [True, False])
def test_a_folder_is_replaced_as_a_whole(tmp_path, existed):
    target = tmp_path / "folder"
    if existed:
        target.mkdir()
        (target / "old").write_text("old")
    with atomic_folder(target) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "new").write_text("new")
    assert [path.name for path in target.rglob("*")] == ["inner", "new"]
    assert os.listdir(tmp_path) == ["folder"]


def test_a_failure_keeps_the_old_folder(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_folder(target) as temporary:
        (temporary / "new").write_text("half")
        raise ZeroDivisionError
    assert os.listdir(target) == ["old"]
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("number", [1, 2])
def test_an_interruption_between_the_renames_keeps_the_old_folder(tmp_path, monkeypatch, number):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").write_text("old")
    replace, calls = Path.replace, []

    def interrupted(path, other):
        calls.append(path)
        if len(calls) == number:
            raise KeyboardInterrupt
        return replace(path, other)

    monkeypatch.setattr(Path, "replace", interrupted)
    monkeypatch.setattr(renaming, "exchanged", lambda one, other: False)  # as where they are two
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as temporary:
        (temporary / "new").write_text("new")
    assert os.listdir(target) == ["old"]
    assert os.listdir(tmp_path) == ["folder"]


def test_links_stay_links(tmp_path):
    (tmp_path / "file.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("file.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "file.txt").read_text() == "new"
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    with atomic_folder(tmp_path / "link") as temporary:
        (temporary / "new").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "folder") == ["new"]


def test_a_pipe_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "content")
    assert os.read(reader, 100) == b"content"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "/nowhere/input"), TimeoutError()])
def test_what_the_block_fails_to_read_is_its_own_error(tmp_path, error):
    with pytest.raises(type(error)), atomic_folder(tmp_path / "folder"):
        raise error
    with pytest.raises(type(error)), atomic_file(tmp_path / "file"):
        raise error
    assert not any(tmp_path.iterdir())


def test_files_have_a_users_usual_permissions(tmp_path):
    write_text(tmp_path / "file.txt", "content")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o666 & ~umask


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(KerasGPTError, match="cannot write .*; free some space or choose another place"):
        write_text(tmp_path / "file" / "inside", "x")


def test_a_full_disk_is_one_sentence_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(KerasGPTError, match="No space left on device"), atomic_file(target) as temporary:
        os.symlink("/dev/full", temporary.with_suffix(".full"))
        try:
            temporary.with_suffix(".full").write_text("x")
        finally:
            temporary.with_suffix(".full").unlink()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_full_disk_of_which_numpy_tells_is_one_too(tmp_path, full_disk):
    with (
        pytest.raises(KerasGPTError, match=r"file: cannot write \(.* requested and .* written"),
        full_disk(1000),
        atomic_file(tmp_path / "file") as temporary,
        temporary.open("wb") as file,
    ):
        np.zeros(10_000).tofile(file)
    assert not any(tmp_path.iterdir())


def test_a_full_disk_inside_a_folder_names_the_folder_that_was_asked_for(tmp_path, full_disk):
    target = tmp_path / "folder"
    with pytest.raises(KerasGPTError) as caught, full_disk(100), atomic_folder(target) as temporary:
        write_text(temporary / "big.txt", "x" * 1000)
    assert str(caught.value).startswith(f"{target}: cannot write (File too large)")
    assert not any(tmp_path.iterdir())


def test_a_rename_is_on_disk_before_the_write_is_done(tmp_path, monkeypatch):
    flushed = []
    original = os.fsync

    def fsync(handle):
        flushed.append(Path(f"/proc/self/fd/{handle}").resolve())
        original(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "file", "text")
    assert flushed[-1] == tmp_path
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "inside").write_text("text")
    assert flushed[-1] == tmp_path


def test_a_folder_takes_no_files_place(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CannotWriteError, match="a file is there"), atomic_folder(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_the_error_comes_out_of_another_process_whole():
    error = CannotWriteError(Path("a.txt"), "No space left on device")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason) == (str(error), error.reason)


def test_a_file_that_is_a_stream_keeps_what_was_there(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("earlier\n")
    with log.open("ab") as stream:
        path = f"/dev/fd/{stream.fileno()}"
        assert is_stream(path)
        write_text(path, "later\n")
    assert log.read_text() == "earlier\nlater\n"
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]
    assert not is_stream(log)
    assert not is_stream(tmp_path)
    assert not is_stream(tmp_path / "new")


def test_a_path_that_looks_like_a_pattern_is_reached_by_a_plain_one(tmp_path):
    for name in ("v[2]", "a*b", "c?", "plain"):
        folder = tmp_path / name / "1"
        folder.mkdir(parents=True)
        (folder / "file").write_text(name)
        with unpatterned(folder) as path:
            assert not set("[]*?") & set(str(path))
            assert (path == folder) == (name == "plain")
            assert (path / "file").read_text() == name
        assert folder.is_dir()


@pytest.mark.parametrize("full", ["of temporary files", "of the output", "of both"])
def test_of_two_disks_the_full_one_is_named(tmp_path, monkeypatch, full):
    scratch, target = tmp_path / "scratch", tmp_path / "out" / "folder"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))

    def usage(folder):
        is_full = full == "of both" or (full == "of temporary files") == (Path(folder) == scratch)
        return SimpleNamespace(free=0 if is_full else 2**40)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    there = scratch if full == "of temporary files" else target
    remedy = "there, or set TMPDIR to" if there is scratch else "or choose"
    with (
        pytest.raises(CannotWriteError, match=rf"{there}: cannot write \(No space left.*\); free.* {remedy}"),
        atomic_folder(target),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not target.exists()


def test_what_appeared_meanwhile_stays(tmp_path):
    target = tmp_path / "folder"
    with (
        pytest.raises(CannotWriteError, match="folder: cannot write .something else has been put there mean"),
        atomic_folder(target, lambda folder: not any(folder.iterdir())) as temporary,
    ):
        (temporary / "new").write_text("new")
        target.mkdir()
        (target / "precious").write_text("precious")
    assert os.listdir(target) == ["precious"]
    assert os.listdir(tmp_path) == ["folder"]


def test_a_mount_point_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(tmp_path / "mounted"))
    (tmp_path / "mounted").mkdir()
    (tmp_path / "link").symlink_to("mounted")
    with (
        pytest.raises(CannotWriteError, match="place of a mount point.; name a folder inside"),
        atomic_folder(tmp_path / "link"),
    ):
        raise AssertionError


def test_a_private_file_stays_private(tmp_path):
    write_text(tmp_path / "file", "old")
    (tmp_path / "file").chmod(0o600)
    write_text(tmp_path / "file", "new")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_files_in_a_folder_have_a_users_usual_permissions_and_it_the_groups(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2775)
    with atomic_folder(tmp_path / "shared" / "new") as temporary:
        (temporary / "private").touch(mode=0o600)
    umask = os.umask(0)
    os.umask(umask)
    folder = tmp_path / "shared" / "new"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2000 | (0o777 & ~umask)
    assert stat.S_IMODE((folder / "private").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("place", [atomic_folder, atomic_file])
def test_folders_that_were_made_for_nothing_go_again(tmp_path, place):
    with pytest.raises(ZeroDivisionError), place(tmp_path / "a" / "b" / "c"):
        (tmp_path / "a" / "kept").mkdir()
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "kept"]


@pytest.mark.parametrize("place", [atomic_folder, atomic_file])
def test_a_name_as_long_as_names_may_be(tmp_path, place):
    with place(tmp_path / ("x" * 255)):
        pass
    assert os.listdir(tmp_path) == ["x" * 255]


def test_a_scratch_folder_that_looks_like_a_pattern_is_not_used(tmp_path, monkeypatch):
    (tmp_path / "[x]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "[x]"))
    with unpatterned(tmp_path / "[x]") as plain:
        assert not set("[]*?") & set(str(plain))
        assert plain.samefile(tmp_path / "[x]")


def test_a_place_for_a_file_is_looked_at_beforehand(tmp_path):
    require_place(tmp_path / "new" / "file")
    (tmp_path / "file").write_text("")
    require_place(tmp_path / "file")
    require_place("/dev/stdout")
    with pytest.raises(CannotWriteError, match=r"file/deep: cannot write \(Not a directory\); free"):
        require_place(tmp_path / "file" / "deep")
    with pytest.raises(CannotWriteError, match=r"a folder is there\); name a file"):
        require_place(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_so_full_that_nothing_temporary_fits_is_told_all_the_same(tmp_path, monkeypatch):
    """Python then finds no folder for temporary files at all."""

    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with (
        pytest.raises(CannotWriteError, match=r"file: cannot write \(No space left.*or choose another place"),
        atomic_file(tmp_path / "file"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
