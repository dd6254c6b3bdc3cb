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
from kerasgpt.export.kernels import Blockwise, Float32
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.proof import answers_file
from kerasgpt.export.quantization import Quantized
from kerasgpt.export.reference import record
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.runtime.language_model import open_step_model

# With 4 bits the head decides most of the error, and the embeddings share its tensor.
QUANTIZED: Final = {"fast_int8": Blockwise(8), "fast_int4": Blockwise(4, head_bits=8)}

Arrays = Mapping[str, NDArray[np.float32]]


def chosen(config: GPT2Config, precisions: Sequence[str]) -> tuple[list[str], str]:
    """Which variants the precisions ask for, and a sentence on those that this shape cannot have."""
    names = [name for name, (_, precision) in artifacts.VARIANTS.items() if precision in precisions]
    reason = why_not(config)
    left_out = [name for name in names if reason and name.startswith("fast_")]
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
    path = bundle / artifacts.VARIANTS[name][0]
    if name == "onnx_fp16":
        write_onnx(config, weights, path, half=True)
    elif name in QUANTIZED:
        matrices = QUANTIZED[name].quantized(config, without_means(config, weights))
        write_fused(config, weights, path, dataclasses.replace(QUANTIZED[name], matrices=matrices))
        _record_rounded(name, config, weights, matrices, lm, bundle)
    else:
        write_fused(config, weights, path, Float32())


def _record_rounded(
    name: str,
    config: GPT2Config,
    weights: Arrays,
    matrices: Mapping[str, Quantized],
    lm: StepLanguageModel,
    bundle: Path,
) -> None:
    """Record the answers of the float32 graph with the weights as the integers have them.

    That graph is `fast_fp32`'s, which is compared with the trained model itself; its answers stay in the
    bundle, for `verify`.
    """
    with tempfile.TemporaryDirectory(prefix="kerasgpt-export-") as scratch:
        path = Path(scratch) / "rounded.onnx"
        write_fused(config, weights, path, Float32(matrices))
        model = open_step_model(path, max_sequence_length=config.max_sequence_length)
        reference, _ = record(StepLanguageModel(model, lm.tokenizer, lm.settings))
    reference.save(bundle / answers_file(name))
