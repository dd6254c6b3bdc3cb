"""The table of checkpoint formats: what tells each apart, and who reads it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kerasgpt import artifacts
from kerasgpt.architectures import AnyConfig
from kerasgpt.checkpoints.pickles import PICKLES, refusal
from kerasgpt.checkpoints.stored import Arrays
from kerasgpt.config import PRESETS, read_json
from kerasgpt.engines import resolve
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.files import read_merges, read_vocabulary


class Format(NamedTuple):
    """A row of the table.

    Attributes:
        title: what a person calls it.
        tells: whether a folder is of this format.
        reader: "module:function" of (folder, whether to read the weights), resolved when chosen.
        tokenizer_files: its vocabulary and merges, where they lie in the folder.
    """

    title: str
    tells: Callable[[Path], bool]
    reader: str
    tokenizer_files: tuple[str, str]


def _is_keras_hub(folder: Path) -> bool:
    path = folder / artifacts.CONFIG
    return path.is_file() and "registered_name" in read_json(path)


def _is_openai(folder: Path) -> bool:
    return (folder / "hparams.json").is_file() and not (folder / artifacts.CONFIG).exists()


def _lacks_safetensors(folder: Path) -> bool:
    return not any((folder / name).exists() for name in (artifacts.WEIGHTS, artifacts.WEIGHTS_INDEX))


def _is_tensorflow(folder: Path) -> bool:
    return _lacks_safetensors(folder) and (folder / "tf_model.h5").is_file()


def _is_pickle(folder: Path) -> bool:
    return _lacks_safetensors(folder) and any(next(folder.glob(name), None) for name in PICKLES)


HUGGING_FACE_FILES = (artifacts.VOCABULARY, artifacts.MERGES)

# The first row that fits is taken; what fits none is read as a Hugging Face folder, which names what lacks.
FORMATS = (
    Format(
        "a KerasHub preset",
        _is_keras_hub,
        "kerasgpt.checkpoints.keras_hub:read_folder",
        ("assets/tokenizer/vocabulary.json", "assets/tokenizer/merges.txt"),
    ),
    Format(
        "an OpenAI TensorFlow checkpoint",
        _is_openai,
        "kerasgpt.checkpoints.openai:read_folder",
        ("encoder.json", "vocab.bpe"),
    ),
    Format(
        "a TensorFlow model of transformers",
        _is_tensorflow,
        "kerasgpt.checkpoints.tensorflow_h5:read_folder",
        HUGGING_FACE_FILES,
    ),
    Format("a pickle", _is_pickle, "kerasgpt.checkpoints.pickles:read_folder", HUGGING_FACE_FILES),
    Format(
        "a Hugging Face folder",
        lambda folder: True,
        "kerasgpt.checkpoints.native:read_folder",
        HUGGING_FACE_FILES,
    ),
)


def find_format(source: str | os.PathLike[str]) -> Format:
    """Tell what format a folder is of.

    Raises:
        KerasGPTError: it is no folder.
    """
    root = Path(source)
    if root.is_file() and any(root.match(name) for name in PICKLES):
        raise refusal(root)
    if not root.is_dir():
        what = "is a file; give the folder it lies in" if root.exists() else "no such folder"
        raise KerasGPTError(f"{root}: {what}")
    return next(row for row in FORMATS if row.tells(root))


def read_checkpoint(source: Any, weights: bool = True) -> tuple[AnyConfig, Arrays]:
    """Read a checkpoint of any known format.

    Args:
        source: a folder, or a KerasHub ``GPT2CausalLM``.
        weights: whether to read the arrays too.

    Returns:
        The configuration, and the arrays by their canonical names, left where they are until asked for.

    Raises:
        KerasGPTError: it is of no known format, or a file is missing or damaged.
    """
    if not isinstance(source, str | os.PathLike):
        return resolve("kerasgpt.checkpoints.keras_hub:read_model")(source)
    return resolve(find_format(source).reader)(source, weights)


def read_tokenizer(source: str | os.PathLike[str]) -> Tokenizer | None:
    """Read the tokenizer that lies with a checkpoint; None where there is none.

    Raises:
        KerasGPTError: its files are damaged.
    """
    vocabulary, merges = (Path(source) / name for name in find_format(source).tokenizer_files)
    if vocabulary.name != artifacts.VOCABULARY:
        return _read_vocabulary(vocabulary, merges) if vocabulary.is_file() and merges.is_file() else None
    folder = artifacts.model_folder(source)
    has_files = (folder / vocabulary.name).is_file() and (folder / merges.name).is_file()
    return Tokenizer.from_preset(folder) if has_files or (folder / artifacts.TOKENIZER).is_file() else None


def files_folder(source: str | os.PathLike[str]) -> Path:
    """Where the files of a checkpoint lie: in the folder itself, or in a run's best model.

    Raises:
        KerasGPTError: there is no checkpoint.
    """
    is_huggingface = find_format(source).tokenizer_files == HUGGING_FACE_FILES
    return artifacts.model_folder(source) if is_huggingface else Path(source)


def open_tokenizer(source: str) -> Tokenizer:
    """Read the tokenizer of a preset's name, a tokenizer's folder, or a checkpoint of any format.

    Raises:
        KerasGPTError: there is none, or its files are damaged.
    """
    is_preset = source in PRESETS and not Path(source).exists()
    if not is_preset and find_format(source).tokenizer_files != HUGGING_FACE_FILES:
        found = read_tokenizer(source)
        if found is None:
            raise KerasGPTError(f"{source}: holds no vocabulary; give a tokenizer of its own")
        return found
    return Tokenizer.from_preset(source)


def read_generation_config(source: str | os.PathLike[str]) -> GenerationConfig:
    """Read how a checkpoint's text is to be written; without a generation_config.json, the default.

    Raises:
        KerasGPTError: the file is damaged, or asks for what is impossible here.
    """
    return artifacts.read_generation_config(files_folder(source))


def _read_vocabulary(vocabulary: Path, merges: Path) -> Tokenizer:
    try:
        return Tokenizer(read_vocabulary(vocabulary), read_merges(merges))
    except UsageError as error:
        raise KerasGPTError(f"{vocabulary.parent}: cannot read the vocabulary ({error})") from error
