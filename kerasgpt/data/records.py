"""TFRecords of examples: read in batches, mapped by a function of the graph, each file written whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasgpt.atomic import CannotWriteError, atomic_file
from kerasgpt.errors import KerasGPTError, UsageError, first_line

PathLike = str | os.PathLike[str]

TEXT = {"text": tf.string}
"""What a file of texts holds: one feature."""


def write_records(path: PathLike, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as a TFRecord of ``tf.train.Example``, which appears when the last row is in it.

    Args:
        path: of the file; its folder is made if need be.
        rows: feature -> a string, an integer or a float, or an array (N,) of such.

    Returns:
        The number of rows.

    Raises:
        UsageError: a value is of another kind.
        KerasGPTError: the file cannot be written; what was there is as before.
    """
    count = 0
    with atomic_file(path) as temporary, _writer(temporary, Path(path)) as writer:
        for row in rows:
            features = {name: _feature(name, value) for name, value in row.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
            count += 1
    return count


def read_records(paths: PathLike | Sequence[PathLike], features: Mapping[str, Any], batch_size: int) -> Any:
    """Read TFRecords of ``tf.train.Example`` as a `tf.data.Dataset` of batches.

    Args:
        paths: one file or several, read one after the other.
        features: feature -> its dtype, ``tf.string``, ``tf.int64`` or ``tf.float32``; one value a row.
        batch_size: B.

    Returns:
        A dataset of feature -> tensor (B,).
    """
    names = [paths] if isinstance(paths, str | os.PathLike) else paths
    forms = {name: tf.io.FixedLenFeature([], dtype) for name, dtype in features.items()}
    data = tf.data.TFRecordDataset([os.fspath(name) for name in names]).batch(batch_size)
    return data.map(lambda rows: tf.io.parse_example(rows, forms), num_parallel_calls=tf.data.AUTOTUNE)


def map_records(
    sources: Sequence[PathLike],
    folder: PathLike,
    function: Callable[[dict[str, Any]], dict[str, Any]],
    features: Mapping[str, Any] | None = None,
    batch_size: int = 32,
) -> list[Path]:
    """Map TFRecords of examples, file by file, into a folder where each has its name again.

    A file appears there when it is complete, and one that is there is not made again: a run that was stopped
    goes on where it was when it is started again.

    Args:
        sources: files, such as the shards of a large one.
        folder: of the results; made if need be.
        function: feature -> tensor (B,) to feature -> tensor (B,) or (B, N), of which each row is written;
            traced, and run in the pipeline.
        features: what to read of each example; None means `TEXT`.
        batch_size: B.

    Returns:
        The files that were written now.

    Raises:
        UsageError: no sources, or two of them have the same name.
        KerasGPTError: a file is missing or damaged or lacks a feature, or cannot be written.
    """
    paths = [Path(source) for source in sources]
    if not paths or len({path.name for path in paths}) < len(paths):
        raise UsageError(f"{len(paths)} files to be mapped: give one or more, no two of the same name")
    targets = {path: Path(folder) / path.name for path in paths}
    todo = {path: target for path, target in targets.items() if not target.exists()}
    for path, target in todo.items():
        with _named(path):
            data = read_records(path, features or TEXT, batch_size).map(function)
            rows = data.unbatch().prefetch(batch_size).as_numpy_iterator()
            write_records(target, rows)
    return list(todo.values())


@contextmanager
def _writer(temporary: Path, path: Path) -> Iterator[Any]:
    """Open a writer whose own errors, as of a full disk, are told as those of any file are."""
    try:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            yield writer
    except tf.errors.OpError as error:
        if str(temporary) not in error.message:  # it came with the rows
            raise
        raise CannotWriteError(path, error.message.rpartition("; ")[2]) from error


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file TensorFlow stumbled over."""
    try:
        yield
    except (tf.errors.NotFoundError, tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        reason = first_line(error)
        raise KerasGPTError(
            f"{path}: cannot be read and mapped ({reason}); nothing was written of it"
        ) from error


def _feature(name: str, value: Any) -> Any:
    try:
        array = np.atleast_1d(np.asarray(value))
    except ValueError as error:
        raise UsageError(
            f"feature '{name}' has rows of several lengths: a TFRecord holds rows (N,)"
        ) from error
    if array.ndim > 1:
        raise UsageError(f"feature '{name}' has the shape {array.shape}: a TFRecord holds rows (N,)")
    if array.dtype.kind in "OSTU":
        # numpy's own strings end before their last zeros; whatever came as objects stays whole.
        items = np.atleast_1d(np.asarray(value, object)).tolist()
        try:
            data = [item.encode() if isinstance(item, str) else item for item in items]
        except UnicodeEncodeError as error:
            raise UsageError(f"feature '{name}' holds half a surrogate pair, which is no UTF-8") from error
        if all(isinstance(item, bytes) for item in data):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=data))
    if array.dtype.kind == "u" and array.max(initial=0) > np.iinfo(np.int64).max:
        raise UsageError(f"feature '{name}' is {array.max()}: a TFRecord holds integers below 2^63")
    if array.dtype.kind in "iub":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=array.astype(np.int64).tolist()))
    if array.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=array.tolist()))
    raise UsageError(f"feature '{name}' is {array.dtype}: a TFRecord holds strings, integers and floats")
