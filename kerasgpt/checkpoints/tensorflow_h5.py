"""The tf_model.h5 that transformers wrote for TensorFlow, up to its version 4."""

from __future__ import annotations

import os
from pathlib import Path

from kerasgpt import artifacts
from kerasgpt.checkpoints.hdf5 import open_datasets
from kerasgpt.checkpoints.mapping import weights as table
from kerasgpt.checkpoints.stored import Arrays, renamed, require_layers
from kerasgpt.config import GPT2Config

WEIGHTS = "tf_model.h5"


def read_folder(source: str | os.PathLike[str], weights: bool = True) -> tuple[GPT2Config, Arrays]:
    """Read config.json and tf_model.h5.

    Args:
        source: the folder.
        weights: whether to read the arrays too.

    Returns:
        The configuration, and the arrays by their canonical names, left in the file until asked for.

    Raises:
        KerasGPTError: a file is missing or damaged.
    """
    config = artifacts.read_gpt2_config(source)
    if not weights:
        return config, {}
    stored = open_datasets(Path(source) / WEIGHTS)
    require_layers(stored, config, str(source))
    return config, _canonical(stored, config, str(source))


def _canonical(stored: Arrays, config: GPT2Config, source: str) -> Arrays:
    """Give the arrays their canonical names; their biases have a first axis of 1."""
    ranks = {row.huggingface: len(row.axes) for row in table(config)}
    names = {row.tensorflow: row.huggingface for row in table(config)}
    arrays = renamed(stored, lambda name: names.get(_short(name), name), source)
    return {
        name: array.without_leading_one(ranks[name]) if name in ranks else array
        for name, array in arrays.items()
    }


def _short(name: str) -> str:
    """The name within the stack: what comes before it follows the class and the version that saved it.

    >>> _short("transformer/tfgpt2lm_head_model/transformer/h_._0/attn/c_attn/weight:0")
    'h_._0/attn/c_attn/weight'
    """
    short = name.rpartition("transformer/")[2].removesuffix(":0")
    return short.replace("/embeddings", "/weight")  # wpe, and in later versions wte too
