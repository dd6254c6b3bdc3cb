"""HDF5 files as named arrays, each left in the file until it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kerasgpt.checkpoints.stored import Arrays, StoredArray
from kerasgpt.errors import KerasGPTError

DEEPEST = 32  # groups within groups; HDF5 takes longer the deeper they lie, and presets have fewer than ten
MOST_COMPRESSED = 2000  # times smaller than its numbers deflate makes an array, at its best some 1,030


def open_datasets(path: Path) -> Arrays:
    """List the arrays of an HDF5 file by their paths in it; links to other files are not followed.

    Raises:
        KerasGPTError: the file is missing or damaged, or an array's numbers lie in another file.
    """
    arrays: Arrays = {}

    def visit(name: str | bytes, item: Any) -> None:
        if isinstance(name, bytes):
            raise KerasGPTError(f"{path}: the name {name!r} in it is not UTF-8; copy or export it again")
        if name.count("/") > DEEPEST:
            raise KerasGPTError(f"{path}: has groups more than {DEEPEST} deep, as no checkpoint has")
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise KerasGPTError(f"{path}: {name} lies in another file; refused")
            arrays[name] = _stored(item, name, path)

    try:
        h5py.File(path, "r").visititems(visit)
    except (OSError, RuntimeError) as error:
        raise KerasGPTError(f"{path}: cannot read ({error}); copy or export it again") from error
    return arrays


def _stored(dataset: Any, name: str, path: Path) -> StoredArray:
    mark = dataset.attrs.get("dtype")  # of Keras; HDF5 has no bfloat16
    is_bfloat16 = isinstance(mark, str) and mark == "bfloat16"
    try:
        kind = dataset.dtype
    except TypeError as error:  # of a type that numpy has none for
        raise KerasGPTError(f"{path}: cannot read {name} ({error}); give weights of a float type") from error

    def read() -> NDArray[Any]:
        if is_bfloat16 and kind.itemsize != 2:
            raise KerasGPTError(f"{path}: {name} is marked as bfloat16 and holds {kind}; copy it again")
        if kind.kind != "f" and not is_bfloat16:
            raise KerasGPTError(f"{path}: {name} holds {kind}; give weights of a float type")
        if dataset.nbytes > MOST_COMPRESSED * max(dataset.id.get_storage_size(), 1):
            raise KerasGPTError(
                f"{path}: {name} claims {dataset.nbytes:,} bytes that the file does not hold; copy it again"
            )
        try:
            numbers = np.asarray(dataset[()])
        except (OSError, RuntimeError) as error:
            raise KerasGPTError(f"{path}: cannot read {name} ({error}); copy it again") from error
        return numbers.view(ml_dtypes.bfloat16) if is_bfloat16 else numbers

    return StoredArray(name, tuple(dataset.shape or ()), read)  # one of nothing at all has no shape
