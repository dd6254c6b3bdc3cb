"""A GPT-2 of random weights as one fast ONNX file, for figures that do not depend on what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import kerasgpt
from kerasgpt.config import GPT2Config
from kerasgpt.export.calibration import observations
from kerasgpt.export.folding import with_zero_shifts, without_means
from kerasgpt.export.fused_graph import write_fused
from kerasgpt.export.kernels import TABLES, Float32, Kernels
from kerasgpt.export.onnx_weights import Weights, weight_shapes
from kerasgpt.export.split_head import SplitHead
from kerasgpt.export.static_int8 import StaticInt8
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.runtime.language_model import open_step_model


def open_random(config: GPT2Config, precision: str, scratch: Path) -> StepLanguageModel:
    """Write it to a folder, in ``"fp32"``, ``"int8"`` or ``"int4"``, and open it."""
    generator = np.random.default_rng(0)
    weights = {
        name: generator.standard_normal(shape, np.float32) * np.float32(0.02)
        for name, shape in weight_shapes(config).items()
    }
    path = scratch / f"{precision}.onnx"
    write_fused(config, weights, path, kernels(config, weights, precision))
    model = open_step_model(path, max_sequence_length=config.max_sequence_length)
    return StepLanguageModel(model, kerasgpt.Tokenizer.from_preset("gpt2"))


def kernels(config: GPT2Config, weights: Weights, precision: str) -> Kernels:
    """Those of the fast files; in 4 bits rounded to the nearest, which takes the same time to run."""
    if precision == "fp32":
        return Float32()
    folded = without_means(config, weights)
    if precision == "int4":
        return SplitHead(matrices=SplitHead().quantized(config, folded))
    ids = np.random.default_rng(1).integers(0, config.vocabulary_size, (4, 128))
    unshifted = with_zero_shifts(config, folded)
    (seen,) = observations(config, unshifted, ids, with_products=False)
    ranges = {name: inputs.range for name, inputs in seen.items() if name not in TABLES}
    return StaticInt8.calibrated(config, folded, ranges)
