"""The ONNX graph that reads vectors in place of token ids, and the one that looks up those of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from kerasgpt import artifacts
from kerasgpt.atomic import atomic_file
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.kernels import TOKENS, Standard
from kerasgpt.export.onnx_graph import write_onnx
from kerasgpt.export.onnx_nodes import BATCH, IR_VERSION, NEW, OPSET, Graph
from kerasgpt.export.onnx_weights import Weights
from kerasgpt.version import __version__


@dataclass(frozen=True)
class GivenVectors(Standard):
    """Standard operators, behind an embedding that is the caller's."""

    def embedding(self, graph: Graph, config: GPT2Config, ids: str) -> str:
        """The input as it is: positions are added to it as to tokens."""
        return artifacts.INPUTS_EMBEDS


def write_embeds(config: GPT2Config, weights: Weights, bundle: Path) -> None:
    """Write ``onnx/model_inputs_embeds.onnx`` and ``onnx/embed_tokens.onnx``.

    The first is the portable float32 graph with ``inputs_embeds`` float32 (B, T, D) for ``input_ids``;
    the second maps ``input_ids`` int64 (B, T) to ``inputs_embeds``. Both read the one file of weights beside
    them, so that the table of tokens, which is also the head, is there once.

    Args:
        config: of the model.
        weights: float32 arrays by their Hugging Face names.
        bundle: its folder.

    Raises:
        KerasGPTError: a weight is missing or has another shape, or the disk is full.
    """
    path = bundle / artifacts.ONNX_EMBEDS
    write_onnx(config, weights, path, kernels=GivenVectors(), inputs_embeds=True, largest_file=0)
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    table = next((tensor for tensor in tensors if tensor.name == TOKENS), None)
    if table is None:
        raise KerasGPTError(f"{path}: has no {TOKENS}; export the model again")
    with atomic_file(bundle / artifacts.EMBED_TOKENS) as temporary:
        temporary.write_bytes(_look_up(config, table).SerializeToString(deterministic=True))


def _look_up(config: GPT2Config, table: onnx.TensorProto) -> onnx.ModelProto:
    """A graph of one node over a table that lies in the other graph's file of weights."""
    name = artifacts.INPUTS_EMBEDS
    body = helper.make_graph(
        [helper.make_node("Gather", [TOKENS, "input_ids"], [name], name="embeddings/Gather")],
        "embed_tokens",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [BATCH, NEW])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, NEW, config.hidden_dim])],
        [table],
    )
    return helper.make_model(
        body,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="kerasgpt",
        producer_version=__version__,
    )
