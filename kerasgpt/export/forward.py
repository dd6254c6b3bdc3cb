"""The forward pass alone of a user's own Keras model as an ONNX file, by tf2onnx."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import onnx

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.export import onnx_file
from kerasgpt.export.onnx_nodes import BATCH, NEW
from kerasgpt.export.reference import record
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Ids, Logits
from kerasgpt.recurrent_config import RecurrentConfig
from kerasgpt.tokenizer.bpe import Tokenizer

OPSET: Final = 18  # the newest that tf2onnx 1.17 writes
NOTHING_WRITTEN: Final = GenerationConfig(max_new_tokens=0)


class KerasForwardModel:
    """Any Keras model from ids (B, T) to logits (B, T, V) as an engine that answers with them.

    Args:
        model: with its weights, and with a GPT2Config as `config`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.vocabulary_size: int = model.config.vocabulary_size
        self.max_sequence_length: int = model.config.max_sequence_length

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position."""
        logits = self._model(ids.astype(np.int32), training=False)
        return np.asarray(keras.ops.convert_to_numpy(logits), np.float32)


def check_forward(model: Any, formats: Sequence[str], precisions: Sequence[str]) -> None:
    """Refuse what tf2onnx cannot be asked for.

    Raises:
        UsageError: a format or precision other than ONNX in float32, a backend other than TensorFlow, a model
            that does not say its sizes or is too large for one file.
    """
    if set(formats) != {"onnx"} or set(precisions) != {"fp32"}:
        raise UsageError(
            "the tf2onnx writer makes ONNX in fp32 alone: name the formats onnx, precisions fp32"
        )
    if keras.backend.backend() != "tensorflow":
        raise UsageError(
            f"the tf2onnx writer reads TensorFlow's graphs, and Keras runs on {keras.backend.backend()} here:"
            f" load the weights under KERAS_BACKEND=tensorflow"
        )
    if isinstance(getattr(model, "config", None), RecurrentConfig):
        raise UsageError(
            f"the tf2onnx writer is for a GPT-2 of your own: the direct one writes a {type(model).__name__}"
        )
    if not isinstance(getattr(model, "config", None), GPT2Config):
        raise UsageError(
            f"{type(model).__name__} has no `config`: give the model a GPT2Config of that name, with its"
            f" vocabulary_size and max_sequence_length"
        )
    size = 4 * model.count_params()
    if size > onnx_file.LARGEST_FILE:
        raise UsageError(
            f"the model has {size / 1e9:.1f} GB of weights, and tf2onnx writes one file of at most 2 GB;"
            f" an unchanged GPT-2 of any size is written by the direct writer"
        )


def write_forward_bundle(model: Any, tokenizer: Tokenizer, bundle: Path) -> Logits:
    """Write ``onnx/model.onnx``, the tokenizer and what the model answers into a bundle in the making.

    The weights themselves stay with the user, whose code alone can read them.

    Args:
        model: ``call`` maps ids (B, T) to logits (B, T, V).
        tokenizer: the one it was trained with.
        bundle: in the making.

    Returns:
        The model's logits at all positions, float32 (B, S, V).
    """
    config = model.config
    settings = GenerationConfig().to_huggingface(config)
    own = {**config.to_huggingface(), "architectures": [type(model).__name__]}
    artifacts.write_json(bundle / artifacts.CONFIG, own)
    artifacts.write_json(bundle / artifacts.GENERATION_CONFIG, settings)
    tokenizer.save_to_preset(bundle, max_sequence_length=config.max_sequence_length)
    write_forward(model, bundle / artifacts.ONNX_MODEL)
    engine: Any = KerasForwardModel(model)  # it takes no steps, and none are asked for
    lm = StepLanguageModel(engine, tokenizer)
    reference, logits = record(lm, NOTHING_WRITTEN)
    reference.save(bundle / artifacts.PARITY)
    return logits


def write_forward(model: Any, path: Path) -> None:
    """Write a Keras model's forward pass: ``input_ids`` int64 (B, T) -> ``logits`` float32 (B, T, V).

    Args:
        model: ``call`` maps ids (B, T) to logits (B, T, V).
        path: of the file; missing folders are made.

    Raises:
        UsageError: what the model gives are no logits of that shape.
    """
    signature = [keras.InputSpec(shape=(None, None), dtype="int64", name="input_ids")]
    with tempfile.TemporaryDirectory(prefix="kerasgpt-export-") as scratch:
        written = Path(scratch) / "model.onnx"
        keras.Model.export(
            model, written, format="onnx", input_signature=signature, opset_version=OPSET, verbose=False
        )
        proto = onnx.load(written)
    if len(proto.graph.output) != 1:
        raise UsageError(
            f"{type(model).__name__} gives {len(proto.graph.output)} tensors: its call must give logits alone"
        )
    _name_output(proto.graph, "logits")
    _name_sizes(proto.graph, model)
    onnx_file.save(proto, {}, path)


def _name_output(graph: onnx.GraphProto, name: str) -> None:
    """Let the one output have this name."""
    old = graph.output[0].name
    graph.output[0].name = name
    for node in graph.node:
        for names in (node.input, node.output):
            for number, each in enumerate(names):
                if each == old:
                    names[number] = name


def _name_sizes(graph: onnx.GraphProto, model: Any) -> None:
    """Name the sizes that vary as in every other graph here."""
    ids, logits = (value.type.tensor_type.shape.dim for value in (graph.input[0], graph.output[0]))
    if len(logits) != 3 or logits[2].dim_value != model.config.vocabulary_size:
        found = tuple(size.dim_param or size.dim_value for size in logits)
        raise UsageError(
            f"{type(model).__name__} gives {found}: its call must give logits (B, T,"
            f" {model.config.vocabulary_size})"
        )
    for sizes in (ids, logits):
        sizes[0].dim_param, sizes[1].dim_param = BATCH, NEW
