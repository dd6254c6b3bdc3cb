"""Kernels in 4 bits whose frequent tokens, and all embeddings, have 8: most of the error is theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kerasgpt.config import GPT2Config
from kerasgpt.export.blockwise import Blockwise
from kerasgpt.export.kernels import TOKENS, Tensors, dequantized, head_table
from kerasgpt.export.onnx_nodes import Graph
from kerasgpt.export.onnx_weights import Weights
from kerasgpt.export.quantization import block_size_of

FREQUENT: Final = "head.frequent"
RARE: Final = "head.rare"
LARGEST_BLOCK: Final = 256  # of 4 bits: the step is 6 % shorter than with 128


@dataclass(frozen=True)
class SplitHead(Blockwise):
    """Projections in 4 bits; of the (V, D) tables, all embeddings in 8 and a quarter of the head.

    A byte-level BPE numbers its pieces in the order it learned them, the most frequent first, so that the
    first quarter of the ids makes up most of any text. Their logits come from 8 bits, which are the
    embeddings' where the head is tied to them, the others' from 4: the step costs little more than with a
    head in 4 bits, and the text is little worse than with one in 8.
    """

    bits: int = 4
    head_bits: int | None = 8

    def names(self, config: GPT2Config) -> list[str]:
        """The names of what is quantised, the head in its parts."""
        whole = [name for name in super().names(config) if name != head_table(config) or name == TOKENS]
        return [*whole, *([] if config.tie_word_embeddings else [FREQUENT]), RARE]

    def source(self, config: GPT2Config, name: str) -> str:
        """Which of `matrix_shapes` what is quantised belongs to."""
        return head_table(config) if name in (FREQUENT, RARE) else super().source(config, name)

    def matrix(self, config: GPT2Config, weights: Weights, name: str) -> tuple[NDArray[np.float32], int]:
        """What is quantised under a name, laid out (out, in), and its bits."""
        table, count = weights[head_table(config)], num_frequent(config)
        if name == FREQUENT:
            return table[:count], 8
        if name == RARE:
            return table[count:], self.bits
        return super().matrix(config, weights, name)

    def size(self, num_columns: int, bits: int) -> int:
        """Numbers that share a scale: in 4 bits up to 256, where GPTQ makes up for the coarser scales."""
        return self.block_size or block_size_of(num_columns, LARGEST_BLOCK if bits == 4 else 128)

    def rounded(self, config: GPT2Config) -> Tensors:
        """The weights that the integers stand for; the head's differ from the embeddings'."""
        matrices = dict(self.matrices or {})
        frequent, rare = matrices.pop(FREQUENT, matrices[TOKENS]), matrices.pop(RARE)
        rows = [frequent.dequantized()[: num_frequent(config)], rare.dequantized()]
        return {**self.others, **dequantized(matrices), "lm_head.weight": np.concatenate(rows)}

    def tensors(self, config: GPT2Config, weights: Weights) -> Tensors:
        """The matrices as integers and scales, the rest as it is."""
        return {
            name: array
            for name, array in super().tensors(config, weights).items()
            if name not in (TOKENS, "lm_head.weight")
        }

    def head(self, graph: Graph, config: GPT2Config, hidden: str) -> None:
        """One operator for each part."""
        count, width = num_frequent(config), config.hidden_dim
        if config.tie_word_embeddings:
            zero, end = graph.constant("first", [0]), graph.constant("num_frequent", [count])
            for part in ("integers", "scales"):  # of constants, so done when the file is loaded
                graph.add("Slice", f"{TOKENS}.{part}", zero, end, zero, output=f"{FREQUENT}.{part}")
        frequent = self.multiply(graph, hidden, FREQUENT, (width, count), 8)
        rare = self.multiply(graph, hidden, RARE, (width, config.vocabulary_size - count), self.bits)
        graph.add("Concat", frequent, rare, axis=-1, output="logits")


def num_frequent(config: GPT2Config) -> int:
    """How many ids count as frequent."""
    return -(-config.vocabulary_size // 4)
