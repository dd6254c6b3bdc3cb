"""KerasHub's GPT-2: a preset folder, or a model in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kerasgpt import artifacts
from kerasgpt.checkpoints.hdf5 import open_datasets
from kerasgpt.checkpoints.mapping import Weight
from kerasgpt.checkpoints.mapping import weights as table
from kerasgpt.checkpoints.stored import Arrays, StoredArray, renamed, require_layers
from kerasgpt.config import GPT2Config, read_json
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.models.causal_lm import refuse_quantised

WEIGHTS = "model.weights.h5"
BACKBONES = ("keras_hub>GPT2Backbone", "keras_nlp>GPT2Backbone")

_FIELDS = (
    "vocabulary_size",
    "num_layers",
    "num_heads",
    "hidden_dim",
    "intermediate_dim",
    "max_sequence_length",
)


def read_folder(source: str | os.PathLike[str], weights: bool = True) -> tuple[GPT2Config, Arrays]:
    """Read a preset folder: config.json and model.weights.h5.

    Args:
        source: the folder.
        weights: whether to read the arrays too.

    Returns:
        The configuration, and the arrays by their canonical names, left in the file until asked for.

    Raises:
        KerasGPTError: a file is missing or damaged, or the preset is of another model.
    """
    path = Path(source) / artifacts.CONFIG
    values = read_json(path)
    if values["registered_name"] not in BACKBONES:
        raise KerasGPTError(
            f"{path}: describes '{values['registered_name']}'; only {BACKBONES[0]} is a GPT-2"
        )
    own = values.get("config")
    config = _config(own if isinstance(own, dict) else {}, str(path))
    if not weights:
        return config, {}
    stored = open_datasets(Path(source) / WEIGHTS)
    require_layers(stored, config, str(source))
    # Presets of KerasNLP's time call the list of layers otherwise.
    lists = ("layers/", "_layer_checkpoint_dependencies/")
    within = renamed(stored, lambda name: name.removeprefix(lists[0]).removeprefix(lists[1]), str(source))
    return config, _canonical(within, config)


def read_model(model: Any) -> tuple[GPT2Config, Arrays]:
    """Read a KerasHub ``GPT2CausalLM`` or ``GPT2Backbone``; what LoRA has learned is added to the weights.

    Raises:
        UsageError: it is another thing, or quantised.
    """
    backbone = getattr(model, "backbone", model)
    if type(backbone).__name__ != "GPT2Backbone":
        raise UsageError(
            f"cannot read a {type(model).__name__}: give a folder, a preset's name or a KerasHub GPT2CausalLM"
        )
    config = _config(backbone.get_config(), type(model).__name__)
    names = {part for row in table(config) for part in parts_of(row)}
    return config, _canonical({name: _variable(backbone, name) for name in names}, config)


def _config(values: Mapping[str, Any], source: str) -> GPT2Config:
    """KerasHub's words are ours; activation and epsilon are the same in all its GPT-2s."""
    try:
        rates = dict.fromkeys(("dropout", "embedding_dropout", "attention_dropout"), values["dropout"])
        fields = {name: values[name] for name in _FIELDS} | rates
    except KeyError as error:
        raise KerasGPTError(f"{source}: has no {error.args[0]}; save the preset again") from error
    return GPT2Config.of_json(fields, source)


def _variable(backbone: Any, name: str) -> StoredArray:
    """The variable that model.weights.h5 would have under this name."""
    layer, *path, _, number = name.split("/")
    target = {
        "reversible_embedding": backbone.token_embedding,
        "position_embedding": backbone.position_embedding,
        "layer_normalization": backbone.layer_norm,
        "transformer_decoder": backbone.transformer_layers[0],
    }.get(layer) or backbone.transformer_layers[int(layer.rpartition("_")[2])]
    for attribute in path:
        target = getattr(target, attribute)
    refuse_quantised(target)
    variable = target.weights[int(number)]
    if number == "0" and getattr(target, "lora_enabled", False):
        return StoredArray(variable.path, tuple(variable.shape), lambda: _with_lora(target))
    return StoredArray(variable.path, tuple(variable.shape), lambda: np.asarray(variable.numpy()))


def _with_lora(layer: Any) -> NDArray[Any]:
    """A layer's matrix as it computes: the stored one, and what LoRA has learned beside it."""
    matrix = layer.kernel if hasattr(layer, "kernel") else layer.embeddings
    return np.asarray(keras.ops.convert_to_numpy(matrix))


def _canonical(stored: Mapping[str, StoredArray], config: GPT2Config) -> Arrays:
    """Give the arrays their canonical names and join query, key and value; what is not in the table stays."""
    left, arrays = dict(stored), {}
    for row in table(config):
        parts = [left.pop(name) for name in parts_of(row) if name in left]
        if len(parts) == len(parts_of(row)):
            arrays[row.huggingface] = _joined([_flat(part, row) for part in parts])
    return arrays | left


def parts_of(row: Weight) -> list[str]:
    """The names of what makes up a weight in a preset, in order.

    >>> parts_of(Weight("attn.c_attn.bias", "Q", "", "", "a/*_dense/vars/1"))
    ['a/query_dense/vars/1', 'a/key_dense/vars/1', 'a/value_dense/vars/1']
    """
    if "*" not in row.keras_hub:
        return [row.keras_hub]
    return [row.keras_hub.replace("*", part) for part in ("query", "key", "value")]


def _flat(array: StoredArray, row: Weight) -> StoredArray:
    """Merge the axes of heads (N, H) into one: of the output in front, else behind."""
    if len(array.shape) != len(row.axes) + 1:
        return array
    first, second, *rest = array.shape
    if not rest or row.axes == "DD":  # a bias (N, H), or the output's kernel (N, H, D)
        return array.reshaped((first * second, *rest))
    return array.reshaped((first, second * rest[0]))  # (D, N, H)


def _joined(parts: list[StoredArray]) -> StoredArray:
    """Arrays side by side along their last axis."""
    if len(parts) == 1:
        return parts[0]
    shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))

    def read() -> NDArray[Any]:
        return np.concatenate([np.asarray(part) for part in parts], axis=-1)

    return StoredArray(parts[0].name, shape, read)
