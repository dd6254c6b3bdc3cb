"""HDF5 files: read lazily, never beyond themselves, and one sentence for what is damaged."""

import h5py
import ml_dtypes
import numpy as np
import pytest

from kerasgpt.checkpoints.hdf5 import open_datasets
from kerasgpt.errors import KerasGPTError


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["a/b"] = np.arange(6, dtype="float16").reshape(2, 3)
        file.create_group("empty")
    return tmp_path / "w.h5"


def test_arrays_come_by_their_paths(path):
    found = open_datasets(path)
    assert list(found) == ["a/b"]
    assert found["a/b"].shape == (2, 3)
    assert np.asarray(found["a/b"]).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_keras_bfloat16_is_read(path):
    numbers = np.array([1.5, -3.25], ml_dtypes.bfloat16)
    with h5py.File(path, "a") as file:
        file.create_dataset("half", data=numbers).attrs["dtype"] = "bfloat16"
    assert np.asarray(open_datasets(path)["half"], "float32").tolist() == [1.5, -3.25]


def test_a_mark_that_cannot_be_is_refused_and_one_that_is_none_passed_over(path):
    with h5py.File(path, "a") as file:
        file.create_dataset("single", data=np.ones(2, "float32")).attrs["dtype"] = "bfloat16"
        file.create_dataset("other", data=np.ones(2, "float32")).attrs["dtype"] = np.array([1, 2])
        file["nothing"] = h5py.Empty("float32")
    found = open_datasets(path)
    with pytest.raises(KerasGPTError, match="single is marked as bfloat16 and holds float32"):
        np.asarray(found["single"])
    assert np.asarray(found["other"]).tolist() == [1, 1]
    assert found["nothing"].shape == ()


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_cut_file_is_named(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(KerasGPTError, match=r"w\.h5: cannot read .*; copy or export it again"):
        open_datasets(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(KerasGPTError, match=r"no\.h5: cannot read"):
        open_datasets(tmp_path / "no.h5")


def test_whole_numbers_are_no_weights(path):
    with h5py.File(path, "a") as file:
        file["ids"] = np.arange(3)
    with pytest.raises(KerasGPTError, match=r"w\.h5: ids holds int64; give weights of a float type"):
        np.asarray(open_datasets(path)["ids"])


def test_a_type_that_numpy_does_not_know_is_named(path):
    with h5py.File(path, "a") as file:
        kind, space = h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((2,))
        h5py.h5d.create(file.id, b"when", kind, space)
    with pytest.raises(KerasGPTError, match=r"w\.h5: cannot read when .*; give weights of a float type"):
        open_datasets(path)


def test_a_name_that_is_no_text_is_refused(path):
    with h5py.File(path, "a") as file:
        file["name"] = np.ones(2, "float32")
        file.id.links.move(b"name", file.id, b"\xff\xfe")
    with pytest.raises(KerasGPTError, match=r"w\.h5: the name .* in it is not UTF-8"):
        open_datasets(path)


def test_groups_that_lie_too_deep_are_refused_before_they_are_walked(path):
    deep = "/".join(["g"] * 33)
    with h5py.File(path, "a") as file:
        file[deep] = np.ones(2, "float32")
    assert deep in open_datasets(path)
    with h5py.File(path, "a") as file:
        file[f"other/{deep}"] = np.ones(2, "float32")
    with pytest.raises(KerasGPTError, match=r"w\.h5: has groups more than 32 deep"):
        open_datasets(path)


def test_links_to_other_files_are_not_followed(path, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.zeros(2)
    with h5py.File(path, "a") as file:
        file["link"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "x")
    assert list(open_datasets(path)) == ["a/b"]


def test_numbers_kept_in_another_file_are_refused(path, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(16))
    with h5py.File(path, "a") as file:
        file.create_dataset("x", (4,), "float32", external=[(str(tmp_path / "secret"), 0, 16)])
    with pytest.raises(KerasGPTError, match="x lies in another file; refused"):
        open_datasets(path)


def test_an_array_that_was_never_written_is_not_made_up(path):
    """A few bytes can claim any size."""
    with h5py.File(path, "a") as file:
        file.create_dataset("huge", (10**9, 32), "float32", chunks=(1000, 32))
        file.create_dataset("zeros", data=np.zeros((10**4, 32), "float32"), compression="gzip")
    found = open_datasets(path)
    assert np.asarray(found["zeros"]).shape == (10**4, 32)
    with pytest.raises(KerasGPTError, match="huge claims 128,000,000,000 bytes that the file does not hold"):
        np.asarray(found["huge"])
