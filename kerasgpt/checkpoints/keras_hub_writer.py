"""A KerasHub preset written without KerasHub: what its `GPT2CausalLM.from_preset` reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from kerasgpt.artifacts import CONFIG, TOKENIZER, write_json
from kerasgpt.atomic import atomic_file, write_text
from kerasgpt.checkpoints.keras_hub import WEIGHTS, parts_of
from kerasgpt.checkpoints.mapping import Weight
from kerasgpt.checkpoints.mapping import weights as table
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.vocabulary import END_OF_TEXT

KERAS_HUB_VERSION = "0.32.0"  # whose form this is
_TOKENIZER_ASSETS = Path("assets/tokenizer")

# What KerasHub's GPT-2 cannot be told, and what it takes for granted.
_FIXED = {
    "activation": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
}
_RATES = ("dropout", "embedding_dropout", "attention_dropout")


def write_preset(
    config: GPT2Config,
    arrays: Mapping[str, NDArray[np.float32]],
    folder: str | os.PathLike[str],
    tokenizer: Tokenizer | None = None,
) -> None:
    """Write a preset folder: config.json, model.weights.h5, and with a tokenizer the whole task.

    Args:
        config: of the model.
        arrays: by their canonical names; their bytes are written as they are.
        folder: there already, and empty.
        tokenizer: without one the preset is a backbone's, and KerasHub wants ``preprocessor=None``.

    Raises:
        UsageError: a setting is one that KerasHub's GPT-2 does not have, or the tokenizer ends texts with
            another token than ``<|endoftext|>``.
        KerasGPTError: the folder cannot be written.
    """
    refuse_unknown_settings(config)
    if tokenizer is not None:
        _refuse_other_end(tokenizer)
    root = Path(folder)
    backbone = _backbone(config)
    write_json(root / CONFIG, backbone)
    tasks = [] if tokenizer is None else ["CausalLM"]
    metadata = {"keras_version": keras.__version__}
    metadata |= {
        "keras_hub_version": KERAS_HUB_VERSION,
        "parameter_count": config.num_parameters,
        "tasks": tasks,
    }
    write_json(root / "metadata.json", metadata)
    if tokenizer is not None:
        _write_task(root, backbone, tokenizer, config.max_sequence_length)
    with atomic_file(root / WEIGHTS) as temporary, h5py.File(temporary, "w") as file:
        for row in table(config):
            for name, part in _split(row, arrays[row.huggingface], config):
                file[f"layers/{name}"] = part


def refuse_unknown_settings(config: GPT2Config) -> None:
    """Refuse a model that would be another one in KerasHub.

    Raises:
        UsageError: it has a setting that KerasHub's GPT-2 has not.
    """
    for name, fixed in _FIXED.items():
        if getattr(config, name) != fixed:
            raise UsageError(
                f"{name} is {getattr(config, name)!r}: KerasHub's GPT-2 knows only {fixed!r};"
                " keep the model in Hugging Face form"
            )
    if len({getattr(config, name) for name in _RATES}) > 1:
        rates = ", ".join(f"{name} {getattr(config, name)}" for name in _RATES)
        raise UsageError(f"{rates}: KerasHub's GPT-2 has one dropout for all; set the three alike")


def _split(row: Weight, array: NDArray[Any], config: GPT2Config) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays that make up a weight there: query, key and value apart, heads in axes of their own."""
    heads = (config.num_heads, config.hidden_dim // config.num_heads)  # (N, H)
    names = parts_of(row)
    for name, part in zip(names, np.split(array, len(names), axis=-1), strict=True):
        if len(names) > 1:
            yield name, part.reshape(*part.shape[:-1], *heads)  # (D, N, H), or (N, H)
        elif row.axes == "DD":
            yield name, part.reshape(*heads, -1)  # (N, H, D)
        else:
            yield name, part


def _refuse_other_end(tokenizer: Tokenizer) -> None:
    if tokenizer.end_of_text != END_OF_TEXT:
        raise UsageError(
            f"the tokenizer ends texts with {tokenizer.end_of_text}, and KerasHub's GPT2Tokenizer with"
            f" {END_OF_TEXT}: write the preset without a tokenizer"
        )


def _write_task(root: Path, backbone: dict[str, Any], tokenizer: Tokenizer, sequence_length: int) -> None:
    pieces = _object(
        "gpt2_tokenizer",
        "GPT2Tokenizer",
        "int32",
        config_file=TOKENIZER,
        sequence_length=None,
        add_prefix_space=False,
        unsplittable_tokens=[END_OF_TEXT],
    )
    preprocessor = _object(
        "gpt2_causal_lm_preprocessor",
        "GPT2CausalLMPreprocessor",
        "float32",
        tokenizer=pieces,
        config_file="preprocessor.json",
        sequence_length=sequence_length,
        add_start_token=True,
        add_end_token=True,
    )
    task = _object("gpt2_causal_lm", "GPT2CausalLM", None, backbone=backbone, preprocessor=preprocessor)
    write_json(root / TOKENIZER, pieces)
    write_json(root / "preprocessor.json", preprocessor)
    write_json(root / "task.json", task)
    (root / _TOKENIZER_ASSETS).mkdir(parents=True)
    write_json(root / _TOKENIZER_ASSETS / "vocabulary.json", tokenizer.vocabulary)
    merges = [f"{left} {right}" for left, right in tokenizer.merges]
    write_text(root / _TOKENIZER_ASSETS / "merges.txt", "\n".join(["#version: 0.2", *merges, ""]))


def _backbone(config: GPT2Config) -> dict[str, Any]:
    return _object(
        "gpt2_backbone",
        "GPT2Backbone",
        "float32",
        vocabulary_size=config.vocabulary_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.hidden_dim,
        intermediate_dim=config.feed_forward_dim,
        dropout=config.dropout,
        max_sequence_length=config.max_sequence_length,
    )


def _object(module: str, name: str, dtype: str | None, **config: Any) -> dict[str, Any]:
    """An object as Keras serialises it."""
    common: dict[str, Any] = {"name": module}
    if dtype is not None:
        policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": dtype}}
        common |= {"trainable": True, "dtype": {**policy, "registered_name": None}}
    return {
        "module": f"keras_hub.src.models.gpt2.{module}",
        "class_name": name,
        "config": {**common, **config},
        "registered_name": f"keras_hub>{name}",
    }
