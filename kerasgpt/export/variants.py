"""The further ONNX files of a bundle: fast, half, and quantised ones, each with what it is compared with."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.export.blockwise import Blockwise
from kerasgpt.export.calibration import Inputs, calibration_ids, observations
from kerasgpt.export.embeds_graph import write_embeds
from kerasgpt.export.folding import with_zero_shifts, without_means
from kerasgpt.export.fused_graph import why_not, write_fused
from kerasgpt.export.kernels import TABLES, TOKENS, Float32, Kernels, Standard
from kerasgpt.export.norm_tuning import tuned_norms
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.portable_kernels import PortableBlockwise, PortableSplitHead
from kerasgpt.export.proof import answers_file
from kerasgpt.export.quantization import Quantized
from kerasgpt.export.reference import record
from kerasgpt.export.smoothing import Range
from kerasgpt.export.split_head import SplitHead
from kerasgpt.export.static_int8 import StaticInt8
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.protocols import Ids
from kerasgpt.runtime.language_model import open_file, open_step_model

Arrays = Mapping[str, NDArray[np.float32]]

PLAIN: Final[dict[str, Kernels]] = {"fast_fp32": Float32(), "onnx_fp16": Standard(half=True)}
"""The files whose weights are the trained ones."""

EMBEDS: Final = "onnx_embeds"
"""The file that reads vectors, which is written where it is asked for."""


def chosen(
    config: GPT2Config, precisions: Sequence[str], inputs_embeds: bool = False
) -> tuple[list[str], str]:
    """Which variants the precisions ask for, and a sentence on those that this shape cannot have."""
    names = [name for name, (_, precision) in artifacts.VARIANTS.items() if precision in precisions]
    names = [name for name in names if name != EMBEDS] + ([EMBEDS] if inputs_embeds else [])
    reason = why_not(config)
    left_out = [name for name in names if reason and _is_fused(name)]
    files = ", ".join(artifacts.VARIANTS[name][0] for name in left_out)
    kept = [name for name in names if name not in left_out]
    return kept, f"left out {files}: {reason}; the portable file serves" if left_out else ""


class VariantWriter:
    """Writes them into a bundle in the making; what several of them need is computed once.

    Args:
        config: of the model.
        weights: as they were trained.
        lm: the trained model, for its tokenizer and settings.
        bundle: in the making; its portable float32 file is there.
        calibration_text: what the quantised files are calibrated on; empty means text of the model's own.
        tell: called with a line at each step that takes long.
    """

    def __init__(
        self,
        config: GPT2Config,
        weights: Arrays,
        lm: StepLanguageModel,
        bundle: Path,
        calibration_text: str = "",
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._weights = weights
        self._lm = lm
        self._bundle = bundle
        self._calibration_text = calibration_text
        self._tell = tell

    def write(self, name: str) -> None:
        """Write one, and if it is quantised what it must answer."""
        if name == EMBEDS:
            write_embeds(self._config, self._weights, self._bundle)
            return
        kernels = PLAIN.get(name) or self._quantized_kernels(name)
        if isinstance(kernels, Blockwise):
            self._record_rounded(name, kernels)
        self._write(name, self._bundle / artifacts.VARIANTS[name][0], kernels, self._config)

    def _record_rounded(self, name: str, kernels: Blockwise) -> None:
        """Record the answers of the same graph in float32, its weights as the integers have them.

        With its weights as they were trained, that graph is compared with the trained model itself. The
        answers stay in the bundle, for `verify`.
        """
        # Where the head was rounded otherwise than the embeddings, no model that ties them has its weights.
        is_tied = self._config.tie_word_embeddings and not isinstance(kernels, SplitHead)
        config = dataclasses.replace(self._config, tie_word_embeddings=is_tied)
        with tempfile.TemporaryDirectory(prefix="kerasgpt-export-") as scratch:
            path = Path(scratch) / "rounded.onnx"
            self._write(name, path, kernels.exact(self._config), config)
            model = open_step_model(path, max_sequence_length=config.max_sequence_length)
            reference, _ = record(StepLanguageModel(model, self._lm.tokenizer, self._lm.settings))
        reference.save(self._bundle / answers_file(name))

    def _write(self, name: str, path: Path, kernels: Kernels, config: GPT2Config) -> None:
        weights = self._unshifted if name == "onnx_int4" else self._weights
        if not config.tie_word_embeddings:
            weights = {"lm_head.weight": weights[TOKENS], **weights}
        if _is_fused(name):
            # Beside the graph, so that a process maps them from the disk in place of reading them.
            write_fused(config, weights, path, kernels, largest_file=0)
        else:
            write_onnx(config, weights, path, kernels=kernels)

    def _quantized_kernels(self, name: str) -> Blockwise:
        """The kernels of a quantised file, with its integers."""
        if name == "fast_int8":
            ranges: dict[str, Range] = {}
            for group in self._observations(with_products=False):
                ranges |= {key: inputs.range for key, inputs in group.items() if key not in TABLES}
            return StaticInt8.calibrated(self._config, self._folded, ranges)
        if name == "onnx_int8":
            nearest = PortableBlockwise(8)
            return dataclasses.replace(nearest, matrices=nearest.quantized(self._config, self._weights))
        if name == "fast_int4":
            return self._int4
        return PortableSplitHead(4, head_bits=8, matrices=self._int4.matrices, others=self._int4.others)

    @cached_property
    def _int4(self) -> SplitHead:
        """The matrices of both files in 4 bits, each rounded by what it reads, and tuned norms."""
        matrices: dict[str, Quantized] = {}
        self._tell("rounding each matrix by what it reads")
        for group in self._observations(with_products=True):
            products = {key: inputs.products for key, inputs in group.items()}
            matrices |= SplitHead().quantized(self._config, self._folded, products, list(products))
        rounded = SplitHead(matrices=matrices).rounded(self._config)
        exact, ids = self._calibration_model.model, self._calibration_ids
        norms = tuned_norms(self._config, self._unshifted, rounded, exact, ids, self._tell)
        return SplitHead(matrices=matrices, others=norms)

    def _observations(self, *, with_products: bool) -> Iterator[dict[str, Inputs]]:
        return observations(self._config, self._unshifted, self._calibration_ids, with_products=with_products)

    @cached_property
    def _folded(self) -> dict[str, NDArray[np.float32]]:
        return without_means(self._config, self._weights)

    @property
    def _unshifted(self) -> dict[str, NDArray[np.float32]]:
        """The folded weights for the portable graph."""
        return with_zero_shifts(self._config, self._folded)

    @cached_property
    def _calibration_ids(self) -> Ids:
        self._tell(
            "reading the calibration text" if self._calibration_text else "writing text to calibrate on"
        )
        return calibration_ids(self._calibration_model, self._calibration_text)

    @cached_property
    def _calibration_model(self) -> StepLanguageModel:
        """The model in float32, by the faster of its files."""
        fast, portable = artifacts.FAST_FP32, artifacts.ONNX_MODEL
        return open_file(self._bundle, fast if (self._bundle / fast).is_file() else portable)


def _is_fused(name: str) -> bool:
    return name.startswith("fast_")
