"""The native checkpoint, a Hugging Face folder: config.json and model.safetensors, whole or in shards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kerasgpt import artifacts
from kerasgpt.atomic import atomic_file
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.config import GenerationConfig, GPT2Config, read_json
from kerasgpt.errors import KerasGPTError

if TYPE_CHECKING:
    from kerasgpt.models.gpt2 import GPT2CausalLM

Arrays = dict[str, NDArray[Any]]


def read_folder(source: str | os.PathLike[str], weights: bool = True) -> tuple[GPT2Config, Arrays]:
    """Read a model folder, a run's model or a bundle.

    Args:
        source: the folder.
        weights: whether to read the arrays too.

    Returns:
        The configuration, and the arrays by the names they have in the file.

    Raises:
        KerasGPTError: a file is missing or damaged.
    """
    folder = artifacts.model_folder(source)
    return artifacts.read_config(folder), read_weights(folder) if weights else {}


def read_weights(folder: str | os.PathLike[str]) -> Arrays:
    """Read model.safetensors, or the shards that model.safetensors.index.json names.

    Raises:
        KerasGPTError: a file is missing, damaged, or outside the folder.
    """
    root = Path(folder)
    if (root / artifacts.WEIGHTS).is_file():
        return _read_safetensors(root / artifacts.WEIGHTS)
    index = root / artifacts.WEIGHTS_INDEX
    if not index.is_file():
        raise KerasGPTError(f"{root}: holds no {artifacts.WEIGHTS}; give a folder with a model's weights")
    arrays: Arrays = {}
    for shard in sorted(set(read_json(index).get("weight_map", {}).values())):
        if Path(shard).name != shard:
            raise KerasGPTError(f"{index}: names '{shard}', a file outside the folder; refused")
        arrays |= _read_safetensors(root / shard)
    return arrays


def _read_safetensors(path: Path) -> Arrays:
    try:
        arrays: Arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise KerasGPTError(f"{path}: cannot read the weights ({error}); copy or export it again") from error
    return arrays


def write_model(model: GPT2CausalLM, folder: str | os.PathLike[str]) -> None:
    """Write a model as config.json, generation_config.json and model.safetensors.

    Raises:
        KerasGPTError: the folder cannot be written; files that were there are as before.
    """
    root = Path(folder)
    artifacts.write_json(root / artifacts.CONFIG, model.config.to_huggingface())
    generation = GenerationConfig().to_huggingface(model.config)
    artifacts.write_json(root / artifacts.GENERATION_CONFIG, generation)
    with atomic_file(root / artifacts.WEIGHTS) as temporary:
        try:
            save_file(named_arrays(model), temporary, metadata={"format": "pt"})
        except SafetensorError as error:  # it wraps the operating system's error
            raise OSError(None, str(error)) from error
