"""The further ONNX files of a bundle: fast, half, and quantised ones, each with what it is compared with."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.export.folding import without_means
from kerasgpt.export.fused_graph import why_not, write_fused
from kerasgpt.export.kernels import Blockwise, Float32, Kernels, Standard
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.proof import answers_file
from kerasgpt.export.quantization import Quantized
from kerasgpt.export.reference import record
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.runtime.language_model import open_step_model

# With 4 bits the head decides most of the error, and the embeddings share its tensor.
KERNELS: Final[dict[str, Kernels]] = {
    "fast_fp32": Float32(),
    "fast_int8": Blockwise(8),
    "fast_int4": Blockwise(4, head_bits=8),
    "onnx_fp16": Standard(half=True),
    "onnx_int8": Blockwise(8),
    "onnx_int4": Blockwise(4, head_bits=8),
}

Arrays = Mapping[str, NDArray[np.float32]]


def chosen(config: GPT2Config, precisions: Sequence[str]) -> tuple[list[str], str]:
    """Which variants the precisions ask for, and a sentence on those that this shape cannot have."""
    names = [name for name, (_, precision) in artifacts.VARIANTS.items() if precision in precisions]
    reason = why_not(config)
    left_out = [name for name in names if reason and _is_fused(name)]
    files = ", ".join(artifacts.VARIANTS[name][0] for name in left_out)
    kept = [name for name in names if name not in left_out]
    return kept, f"left out {files}: {reason}; the portable file serves" if left_out else ""


def write_variant(
    name: str, config: GPT2Config, weights: Arrays, lm: StepLanguageModel, bundle: Path
) -> None:
    """Write one of them into a bundle in the making, and what a quantised one must answer.

    Args:
        name: of the variant.
        config: of the model.
        weights: as they were trained.
        lm: the trained model, for its tokenizer and settings.
        bundle: in the making.
    """
    path, kernels = bundle / artifacts.VARIANTS[name][0], KERNELS[name]
    if isinstance(kernels, Blockwise):
        matrices = kernels.quantized(config, without_means(config, weights) if _is_fused(name) else weights)
        kernels = dataclasses.replace(kernels, matrices=matrices)
        _record_rounded(name, config, weights, matrices, lm, bundle)
    _write(name, config, weights, path, kernels)


def _is_fused(name: str) -> bool:
    return name.startswith("fast_")


def _write(name: str, config: GPT2Config, weights: Arrays, path: Path, kernels: Kernels) -> None:
    if _is_fused(name):
        write_fused(config, weights, path, kernels)
    else:
        write_onnx(config, weights, path, kernels=kernels)


def _record_rounded(
    name: str,
    config: GPT2Config,
    weights: Arrays,
    matrices: Mapping[str, Quantized],
    lm: StepLanguageModel,
    bundle: Path,
) -> None:
    """Record the answers of the same graph in float32, its weights as the integers have them.

    With its weights as they were trained, that graph is compared with the trained model itself. The answers
    stay in the bundle, for `verify`.
    """
    with tempfile.TemporaryDirectory(prefix="kerasgpt-export-") as scratch:
        path = Path(scratch) / "rounded.onnx"
        exact = Float32 if _is_fused(name) else Standard
        _write(name, config, weights, path, exact(rounded=matrices))
        model = open_step_model(path, max_sequence_length=config.max_sequence_length)
        reference, _ = record(StepLanguageModel(model, lm.tokenizer, lm.settings))
    reference.save(bundle / answers_file(name))
