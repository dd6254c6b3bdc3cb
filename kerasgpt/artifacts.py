"""The folders on disk: the names of their files, and what kind a folder is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from kerasgpt.architectures import AnyConfig, config_from_huggingface
from kerasgpt.atomic import write_text
from kerasgpt.config import GPT2Config, read_json
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.version import __version__

# A model folder (a Hugging Face folder)
CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
ADDED_TOKENS = "added_tokens.json"
VOCABULARY = "vocab.json"
MERGES = "merges.txt"
MODEL_CARD = "README.md"
TASK = "task.json"  # of a model that was fine-tuned on a task: how raw input becomes a prompt
SOFT_PROMPT = "soft_prompt"  # a folder in PEFT's form, of vectors that go before every text
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

# A bundle has these beside them
ONNX_MODEL = "onnx/model.onnx"
ONNX_HALF = "onnx/model_fp16.onnx"
ONNX_INT8 = "onnx/model_quantized.onnx"  # as transformers.js names them
ONNX_INT4 = "onnx/model_q4.onnx"
ONNX_EMBEDS = "onnx/model_inputs_embeds.onnx"
EMBED_TOKENS = "onnx/embed_tokens.onnx"  # as transformers.js names it
FAST_FP32 = "onnx/fast_fp32.onnx"
FAST_INT8 = "onnx/fast_int8.onnx"
FAST_INT4 = "onnx/fast_int4.onnx"
SAVED_MODEL = "saved_model/1"
SERVING_FOLDER = "serving"  # what TensorFlow Serving wants beside it
GENAI_CONFIG = "genai_config.json"
GENAI_FOLDER = "genai"  # an overlay of it for each precision of the fast graphs
MANIFEST = "kerasgpt.json"
PARITY = "parity.npz"
REPORT_JSON = "export_report.json"
REPORT_MARKDOWN = "export_report.md"

# A run folder
RUN_MODEL = "model"
RUN_REFIT = "refit"
RUN_ADAPTER = "adapter"
RUN_CHECKPOINTS = "checkpoints"
RUN_CONFIG = "config.toml"
RUN_METRICS = "metrics.jsonl"
RUN_SUMMARY = "summary.json"
RUN_PLOT = "loss.png"
RUN_REPORT = "report.html"
RUN_TEST = "test.jsonl"  # of a task: the records that nothing was learned from
RUN_TENSORBOARD = "tensorboard"

FORMATS = {"onnx": ONNX_MODEL, "saved_model": SAVED_MODEL}
"""Export formats, and where each lies in a bundle."""

ONNX_FILES = {
    "fp32": (FAST_FP32, ONNX_MODEL),
    "fp16": (ONNX_HALF,),
    "int8": (FAST_INT8, ONNX_INT8),
    "int4": (FAST_INT4, ONNX_INT4),
}
"""Precision -> the ONNX files a bundle may have in it, the fastest first."""

SAVED_MODEL_PRECISIONS = ("fp32", "bf16", "int8")
"""In which a SavedModel may hold its weights; it computes in float32."""

SAVED_MODELS = {f"saved_model_{name}": f"saved_model_{name}/1" for name in SAVED_MODEL_PRECISIONS}
"""Further artifacts of the format ``saved_model`` where several precisions are asked for: where each lies."""

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int4")
"""Of exported files: fp16 and int4 are ONNX's alone, bf16 is the SavedModel's."""

VARIANTS = {
    "fast_fp32": (FAST_FP32, "fp32"),
    "onnx_fp16": (ONNX_HALF, "fp16"),
    "fast_int8": (FAST_INT8, "int8"),
    "fast_int4": (FAST_INT4, "int4"),
    "onnx_int8": (ONNX_INT8, "int8"),
    "onnx_int4": (ONNX_INT4, "int4"),
    "onnx_embeds": (ONNX_EMBEDS, "fp32"),
}
"""Further artifacts of the format ``onnx``, one or two for each precision: where each lies, and which."""

BUNDLE_FORMAT = 1
"""Of what a bundle's files mean; counted up when who knows the old ones only would misread the new."""

OWN_CLIENTS = "kerasgpt, onnxruntime and tensorflow alone: this model type is kerasgpt's own"
"""Who runs a bundle whose model type no other library knows."""

FolderKind: TypeAlias = Literal["bundle", "run", "model"]


def saved_models_of(precisions: Sequence[str]) -> dict[str, str]:
    """The SavedModels of an export: engine -> precision; the first one has the usual place, saved_model/1.

    >>> saved_models_of(["int8", "fp32", "int4"])
    {'saved_model': 'int8', 'saved_model_fp32': 'fp32'}
    """
    first, *others = [name for name in precisions if name in SAVED_MODEL_PRECISIONS] or ["fp32"]
    return {"saved_model": first, **{f"saved_model_{name}": name for name in others}}


def past_name(layer: int, part: Literal["key", "value"]) -> str:
    """The ONNX input that holds a layer's cache, float32 (B, N, past, H)."""
    return f"past_key_values.{layer}.{part}"


def present_name(layer: int, part: Literal["key", "value"]) -> str:
    """The ONNX output that holds a layer's cache, float32 (B, N, past + T, H)."""
    return f"present.{layer}.{part}"


PAST_STATE, PRESENT_STATE = "past_state.", "present_state."


def past_state_name(layer: int, part: str) -> str:
    """The ONNX input that holds the state of a recurrent layer, ``hidden`` or ``cell``, float32 (1, B, H)."""
    return f"{PAST_STATE}{layer}.{part}"


def present_state_name(layer: int, part: str) -> str:
    """The ONNX output that holds a recurrent layer's new state, float32 (1, B, H)."""
    return f"{PRESENT_STATE}{layer}.{part}"


INPUTS_EMBEDS = "inputs_embeds"
"""The ONNX input of a graph that reads vectors float32 (B, T, D) in place of ``input_ids``."""

LOGIT_OFFSETS = "logit_offsets"
"""The optional ONNX input of a fused graph: the positions to answer for, counted from each row's last."""


def folder_kind(folder: str | os.PathLike[str]) -> FolderKind:
    """Tell a bundle, a run and a model folder apart.

    Raises:
        KerasGPTError: the folder is missing, or none of the three; or a bundle made by a newer version, whose
            files may mean something else, or one with a link that leads out of it.
    """
    root = Path(folder)
    if not root.is_dir():
        what = "is a file" if root.exists() else "no such folder"
        raise KerasGPTError(f"{root}: {what}; give a model folder, a run or a bundle")
    if (root / MANIFEST).is_file():
        require_known_format(root / MANIFEST, read_json(root / MANIFEST))
        for path in root.rglob("*"):
            if path.is_symlink():
                own_file(root, path.relative_to(root))
        return "bundle"
    if (root / CONFIG).is_file():
        return "model"
    if (root / RUN_CONFIG).is_file() or (root / RUN_MODEL / CONFIG).is_file():
        return "run"
    raise KerasGPTError(
        f"{root}: neither a model folder ({CONFIG}), a run ({RUN_CONFIG}) nor a bundle ({MANIFEST})"
    )


def lies_in(folder: Path, path: Path) -> bool:
    """Whether a file lies in a folder, links followed.

    Where the folder is a snapshot in Hugging Face's cache, its files are links to ``blobs`` beside the
    snapshots, where the hub's client has put them.
    """
    root, target = Path(os.path.realpath(folder)), Path(os.path.realpath(path))  # of loops they make no error
    if target.is_relative_to(root):
        return True
    return any(
        parent.name == "snapshots" and target.parent == parent.parent / "blobs" for parent in root.parents
    )


def own_file(folder: str | os.PathLike[str], name: str | os.PathLike[str]) -> Path:
    """The path of a folder's file; a bundle, which may come from anywhere, has its files in itself.

    Raises:
        KerasGPTError: the folder is a bundle, and a link leads out of it.
    """
    root, path = Path(folder), Path(folder) / name
    if (root / MANIFEST).is_file() and not lies_in(root, path):
        raise KerasGPTError(f"{path}: leads to {os.path.realpath(path)}, outside the bundle; refused")
    return path


def require_known_format(path: Path, manifest: dict[str, Any]) -> None:
    """Refuse what a newer version wrote, whose files may mean something else."""
    number = manifest.get("format_version", BUNDLE_FORMAT)
    if not isinstance(number, int) or number > BUNDLE_FORMAT:
        raise KerasGPTError(
            f"{path}: made by kerasgpt {manifest.get('version')} in bundle format {number}, and this is"
            f" kerasgpt {__version__}, which knows format {BUNDLE_FORMAT}; install a newer kerasgpt"
        )


def model_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder with config.json and tokenizer.json: the folder itself, or a run's best model.

    Raises:
        KerasGPTError: there is none, as in a run that was stopped before its first evaluation.
    """
    root = Path(folder)
    if folder_kind(root) != "run":
        return root
    if not (root / RUN_MODEL / CONFIG).is_file():
        raise KerasGPTError(
            f"{root}: this run has no model yet: the first evaluation makes it;"
            f" go on with 'kerasgpt train --resume --out {root}'"
        )
    return root / RUN_MODEL


def read_config(folder: str | os.PathLike[str]) -> AnyConfig:
    """Read a model folder's config.json."""
    path = own_file(folder, CONFIG)
    return config_from_huggingface(read_json(path), source=str(path))


def read_gpt2_config(folder: str | os.PathLike[str]) -> GPT2Config:
    """Read the config.json of what can only be a GPT-2."""
    path = own_file(folder, CONFIG)
    return GPT2Config.from_huggingface(read_json(path), source=str(path))


def read_generation_config(folder: str | os.PathLike[str]) -> GenerationConfig:
    """Read a model folder's generation_config.json; without one, the default.

    Raises:
        KerasGPTError: the file is damaged, or holds a setting that cannot be.
    """
    path = own_file(folder, GENERATION_CONFIG)
    if not path.is_file():
        return GenerationConfig()
    values = read_json(path)
    try:
        return GenerationConfig.from_huggingface(values)
    except UsageError as error:
        raise KerasGPTError(f"{path}: {error}") from error


def write_json(path: str | os.PathLike[str], values: Any) -> None:
    """Write JSON atomically, as `json_text` has it."""
    write_text(path, json_text(values))


def json_text(values: Any, indent: int | None = 2) -> str:
    r"""JSON with a final newline, its texts as they are; half a surrogate pair as JSON's escape of it.

    That one is no character and has no UTF-8, so that it cannot be written otherwise. The name of a file that
    is no UTF-8 has some.

    Args:
        values: to be written.
        indent: of its lines; None means one line.

    >>> json_text({"name": "caf\udce9"}, None)
    '{"name": "caf\\udce9"}\n'
    """
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(values, indent=indent)
    return text + "\n"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hash a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
