"""What a model's large matrices read on some text, for methods that round them by it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from kerasgpt.config import GPT2Config
from kerasgpt.export.kernels import Standard, head_table, matrix_shapes
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_nodes import Graph
from kerasgpt.export.onnx_weights import Weights
from kerasgpt.export.smoothing import Range
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Ids
from kerasgpt.runtime.session import open_session
from kerasgpt.tasks.files.documents import SEPARATOR

NUM_TOKENS: Final = 8192  # read in all
LONGEST_ROW: Final = 256  # tokens
TOKENS_AT_ONCE: Final = 1024
PRODUCTS_BUDGET: Final = 2**30  # bytes of products held at a time


@dataclass
class Inputs:
    """What one matrix read.

    Attributes:
        products: X X^T, float64 (K, K), the inputs being the columns of X; (0, 0) if not wanted.
        lowest: of each of the K, over all tokens, float32 (K,).
        highest: likewise.
    """

    products: NDArray[np.float64]
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]

    @classmethod
    def of_size(cls, size: int, *, with_products: bool) -> Self:
        """Of nothing read yet."""
        infinite = np.full(size, np.inf, np.float32)
        num_products = size if with_products else 0
        return cls(np.zeros((num_products, num_products)), infinite, -infinite)

    @property
    def range(self) -> Range:
        """Between what numbers they lie."""
        return Range(self.lowest, self.highest)

    def add(self, inputs: NDArray[np.float32]) -> None:
        """Take inputs (tokens, K) too."""
        if self.products.size:
            self.products += inputs.T @ inputs
        self.lowest = np.minimum(self.lowest, inputs.min(axis=0))
        self.highest = np.maximum(self.highest, inputs.max(axis=0))


@dataclass(frozen=True)
class Observed(Standard):
    """Float32 kernels whose graph also gives out what some matrices read.

    Args:
        names: of these matrices.
    """

    names: Sequence[str] = field(default_factory=tuple)

    def linear(self, graph: Graph, value: str, prefix: str, shape: tuple[int, int]) -> str:
        """As in float32."""
        self._show(graph, value, f"{prefix}.weight", shape[0])
        return super().linear(graph, value, prefix, shape)

    def head(self, graph: Graph, config: GPT2Config, hidden: str) -> None:
        """As in float32."""
        self._show(graph, hidden, head_table(config), config.hidden_dim)
        super().head(graph, config, hidden)

    def _show(self, graph: Graph, value: str, name: str, size: int) -> None:
        if name in self.names:
            graph.show(value, _shown(name), size)


def observations(
    config: GPT2Config, weights: Weights, ids: Ids, *, with_products: bool = True
) -> Iterator[dict[str, Inputs]]:
    """Let a model read text, and give what its matrices read, some of them at a time.

    Args:
        config: of the model.
        weights: as they are to be rounded, those of `kerasgpt.export.onnx_graph.write_onnx`.
        ids: int64 (R, T), rows of text that fit the context.
        with_products: whether more than the ranges is wanted.

    Yields:
        Name of a matrix, see `kerasgpt.export.kernels.matrix_shapes` -> its inputs.
    """
    for names in _groups(config) if with_products else [list(matrix_shapes(config))]:
        found = {
            name: Inputs.of_size(matrix_shapes(config)[name][0], with_products=with_products)
            for name in names
        }
        with tempfile.TemporaryDirectory(prefix="kerasgpt-calibration-") as scratch:
            path = Path(scratch) / "observed.onnx"
            write_onnx(config, weights, path, kernels=Observed(names=names))
            _read(open_session(path), config, ids, found)
        yield found


def _groups(config: GPT2Config) -> Iterator[list[str]]:
    """The names of all matrices, as many together as the budget allows."""
    group: list[str] = []
    num_bytes = 0
    for name, (size, _) in matrix_shapes(config).items():
        if group and num_bytes + 8 * size**2 > PRODUCTS_BUDGET:
            yield group
            group, num_bytes = [], 0
        group.append(name)
        num_bytes += 8 * size**2
    yield group


def _read(session: Any, config: GPT2Config, ids: Ids, found: dict[str, Inputs]) -> None:
    """Let the inputs see some rows after others."""
    options = onnxruntime.RunOptions()
    options.only_execute_path_to_fetches = True  # the logits are not wanted
    size = max(TOKENS_AT_ONCE // ids.shape[1], 1)
    for start in range(0, len(ids), size):
        feeds = _feeds(session, config, ids[start : start + size])
        values = session.run([_shown(name) for name in found], feeds, options)
        for inputs, value in zip(found.values(), values, strict=True):
            inputs.add(value.reshape(-1, value.shape[-1]))


def _feeds(session: Any, config: GPT2Config, ids: Ids) -> dict[str, NDArray[Any]]:
    """Rows without a past."""
    feeds: dict[str, NDArray[Any]] = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "position_ids": np.broadcast_to(np.arange(ids.shape[1]), ids.shape).copy(),
    }
    empty = np.zeros((len(ids), config.num_heads, 0, config.head_dim), np.float32)
    return {**feeds, **{value.name: empty for value in session.get_inputs() if value.name not in feeds}}


def _shown(name: str) -> str:
    return f"read_by/{name}"


def calibration_ids(lm: StepLanguageModel, text: str = "") -> Ids:
    """Rows of text to calibrate on: int64 (R, T).

    Args:
        lm: the model; without a text it writes one itself, sampled at temperature 1 from
            ``<|endoftext|>``, since that is what it expects to read.
        text: whose passages, evenly spaced, are taken; lines that are ``<|endoftext|>`` part documents.
    """
    width = min(LONGEST_ROW, lm.max_sequence_length)
    num_rows = max(NUM_TOKENS // width, 1)
    if not text:
        return _written(lm, num_rows, width)
    first, *others = SEPARATOR.split(text)
    written = lm.tokenizer.encode(first)
    for other in others:
        written += [lm.tokenizer.end_of_text_id, *lm.tokenizer.encode(other)]
    ids = np.array(written, np.int64)
    if len(ids) <= width:
        return ids[None]
    starts = np.linspace(0, len(ids) - width, min(num_rows, len(ids) // width), dtype=np.int64)
    rows: Ids = ids[starts[:, None] + np.arange(width)]
    return rows


def _written(lm: StepLanguageModel, num_rows: int, width: int) -> Ids:
    """Text of the model's own, each row begun by ``<|endoftext|>`` and going on after another."""
    end = lm.tokenizer.end_of_text_id
    settings = GenerationConfig(max_new_tokens=width - 1, temperature=1.0, num_return_sequences=num_rows)
    written = [[end, *found.token_ids] for found in lm.generate([[end]], settings)]
    flat = np.array([index for row in written for index in row], np.int64)
    return np.resize(flat, (num_rows, width))
