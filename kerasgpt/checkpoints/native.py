"""The native checkpoint, a Hugging Face folder: config.json and model.safetensors, whole or in shards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes  # noqa: F401 - it teaches numpy the name bfloat16, which safetensors asks for
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kerasgpt import artifacts
from kerasgpt.architectures import AnyConfig
from kerasgpt.atomic import CannotWriteError, atomic_file
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.checkpoints.stored import Arrays, StoredArray, require_layers
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError
from kerasgpt.generation_config import GenerationConfig

if TYPE_CHECKING:
    from kerasgpt.models.causal_lm import CausalLM

FLOATS = ("F64", "F32", "F16", "BF16")


def read_folder(source: str | os.PathLike[str], weights: bool = True) -> tuple[AnyConfig, Arrays]:
    """Read a model folder, a run's model or a bundle.

    Args:
        source: the folder.
        weights: whether to read the arrays too.

    Returns:
        The configuration, and the arrays by the names they have in the file, left there until asked for.

    Raises:
        KerasGPTError: a file is missing or damaged.
    """
    folder = artifacts.model_folder(source)
    config = artifacts.read_config(folder)
    arrays = read_weights(folder) if weights else {}
    if weights:
        require_layers(arrays, config, str(folder))
    return config, arrays


def read_weights(folder: str | os.PathLike[str]) -> Arrays:
    """Open model.safetensors, or the shards that model.safetensors.index.json names.

    Raises:
        KerasGPTError: a file is missing, damaged, or outside the folder.
    """
    root = Path(folder)
    if (root / artifacts.WEIGHTS).is_file():
        return _open_safetensors(root / artifacts.WEIGHTS)
    index = root / artifacts.WEIGHTS_INDEX
    if not index.is_file():
        raise KerasGPTError(f"{root}: holds no {artifacts.WEIGHTS}; give a folder with a model's weights")
    arrays: Arrays = {}
    for shard in _shards(index):
        arrays |= _open_safetensors(root / shard)
    return arrays


def _shards(index: Path) -> list[str]:
    """The files an index names, each of them in its own folder."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise KerasGPTError(f"{index}: has no weight_map from tensors to files; copy it again")
    shards = sorted({str(shard) for shard in weight_map.values()})
    for shard in shards:
        if Path(shard).name != shard or shard == "..":
            raise KerasGPTError(f"{index}: names '{shard}', a file outside the folder; refused")
        if not (index.parent / shard).is_file():
            raise KerasGPTError(f"{index.parent / shard}: is missing, {index.name} names it; copy it too")
    return shards


def _open_safetensors(path: Path) -> Arrays:
    """Map a file into memory and list its tensors; the library checks its header against its size."""
    try:
        file: Any = safe_open(path, framework="np")
        return {name: _stored(file, name, path) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise KerasGPTError(f"{path}: cannot read the weights ({error}); copy or export it again") from error


def _stored(file: Any, name: str, path: Path) -> StoredArray:
    view = file.get_slice(name)

    def read() -> NDArray[Any]:
        if view.get_dtype() not in FLOATS:
            raise KerasGPTError(
                f"{path}: {name} is stored as {view.get_dtype()}; give weights in {', '.join(FLOATS)}"
            )
        return file.get_tensor(name)

    return StoredArray(name, tuple(view.get_shape()), read)


def write_model(model: CausalLM, folder: str | os.PathLike[str]) -> None:
    """Write a model as config.json, generation_config.json and model.safetensors.

    Raises:
        KerasGPTError: the folder cannot be written; files that were there are as before.
    """
    write_arrays(model.config, named_arrays(model), folder)


def write_arrays(
    config: AnyConfig,
    arrays: Mapping[str, NDArray[np.float32]],
    folder: str | os.PathLike[str],
    settings: GenerationConfig | None = None,
) -> None:
    """Write the same from the arrays of a model, by their canonical names, and from how it is to generate.

    Raises:
        KerasGPTError: the folder cannot be written; files that were there are as before.
    """
    root = Path(folder)
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with ExitStack() as stack:  # all are written before the first is renamed: the last one, the weights
        words, settings_words, weights = (
            stack.enter_context(atomic_file(root / name))
            for name in (artifacts.CONFIG, artifacts.GENERATION_CONFIG, artifacts.WEIGHTS)
        )
        words.write_text(artifacts.json_text(config.to_huggingface()), encoding="utf-8")
        generation = (settings or GenerationConfig()).to_huggingface(config)
        settings_words.write_text(artifacts.json_text(generation), encoding="utf-8")
        try:
            save_file(contiguous, weights, metadata={"format": "pt"})
        except SafetensorError as error:  # it wraps the operating system's error
            raise CannotWriteError(root / artifacts.WEIGHTS, str(error)) from error
