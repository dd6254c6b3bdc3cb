"""OpenAI's TensorFlow checkpoint: hparams.json, encoder.json, vocab.bpe, model.ckpt.*."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
from numpy.typing import NDArray

from kerasgpt.atomic import unpatterned
from kerasgpt.checkpoints.mapping import weights as table
from kerasgpt.checkpoints.stored import Arrays, StoredArray, require_layers
from kerasgpt.config import GPT2Config, read_json
from kerasgpt.errors import KerasGPTError, first_line
from kerasgpt.extras import require

HPARAMS = "hparams.json"

_NAMES = {
    "n_vocab": "vocabulary_size",
    "n_ctx": "max_sequence_length",
    "n_embd": "hidden_dim",
    "n_head": "num_heads",
    "n_layer": "num_layers",
}

# What an optimizer keeps beside each weight of a model that was trained on.
_SLOT = re.compile(r"/(Adam(_\d+)?|Momentum|RMSProp(_\d+)?|Adagrad)$")


def read_folder(source: str | os.PathLike[str], weights: bool = True) -> tuple[GPT2Config, Arrays]:
    """Read a folder of OpenAI's form.

    Args:
        source: the folder.
        weights: whether to read the arrays too.

    Returns:
        The configuration, and the arrays by their canonical names, left in the checkpoint until asked for.

    Raises:
        KerasGPTError: a file is missing or damaged, or TensorFlow is not installed.
    """
    folder = Path(source)
    config = read_hparams(folder / HPARAMS)
    if not weights:
        return config, {}
    stored = _open(folder)
    require_layers(stored, config, str(folder))
    return config, _canonical(stored, config)


def read_hparams(path: Path) -> GPT2Config:
    """Read OpenAI's configuration; what it leaves unsaid is the same in all their models.

    Raises:
        KerasGPTError: a size is missing or makes no GPT-2.
    """
    values = read_json(path)
    try:
        fields = {ours: values[theirs] for theirs, ours in _NAMES.items()}
    except KeyError as error:
        raise KerasGPTError(f"{path}: has no {error.args[0]}; copy the file again") from error
    return GPT2Config.of_json(fields, str(path), {ours: theirs for theirs, ours in _NAMES.items()})


def _canonical(stored: Mapping[str, StoredArray], config: GPT2Config) -> Arrays:
    """Give the arrays their canonical names; theirs have a first axis of 1 where a kernel is applied."""
    rows = {row.openai: row for row in table(config)}
    arrays = {}
    for name, array in stored.items():
        row = rows.get(name)
        arrays[row.huggingface if row else name] = array.without_leading_one(len(row.axes)) if row else array
    return arrays


def _open(folder: Path) -> Arrays:
    """List a checkpoint's weights, leaving out what an optimizer added."""
    prefix = _prefix(folder)
    failures = (_tensorflow().errors.OpError, IndexError, RuntimeError, ValueError)  # its reader raises each
    try:
        with _reader(prefix) as reader:
            shapes = reader.get_variable_to_shape_map()
    except failures as error:
        raise KerasGPTError(f"{prefix}.index: cannot read ({first_line(error)}); copy it again") from error
    names = [name for name in shapes if name.startswith("model/") and not _SLOT.search(name)]
    return {name: _stored(name, tuple(shapes[name]), prefix, failures) for name in names}


def _tensorflow() -> Any:
    return require("tensorflow", "train", "reading a TensorFlow checkpoint")


@contextmanager
def _reader(prefix: Path) -> Iterator[Any]:
    """TensorFlow's reader, which opens the files of data when it is first asked for some."""
    with unpatterned(prefix.parent) as folder:
        yield _tensorflow().train.load_checkpoint(str(folder / prefix.name))


def _prefix(folder: Path) -> Path:
    """The checkpoint's path without its endings; a folder holds one."""
    found = sorted(path.with_suffix("") for path in folder.glob("*.index"))
    if len(found) != 1:
        what = f"{len(found)} checkpoints; leave one" if found else "no model.ckpt.index; copy it too"
        raise KerasGPTError(f"{folder}: holds {what}")
    return found[0]


def _stored(
    name: str, shape: tuple[int, ...], prefix: Path, failures: tuple[type[Exception], ...]
) -> StoredArray:
    def read() -> NDArray[Any]:
        try:
            with _reader(prefix) as reader:
                numbers: NDArray[Any] = reader.get_tensor(name)
        except failures as error:
            raise KerasGPTError(
                f"{prefix}: cannot read {name} ({first_line(error)}); its data is cut or damaged,"
                " copy it again"
            ) from error
        if numbers.dtype.kind != "f" and numbers.dtype != ml_dtypes.bfloat16:
            raise KerasGPTError(f"{prefix}: {name} holds {numbers.dtype}; give weights of a float type")
        return numbers

    return StoredArray(name, shape, read)
