"""A bundle as a language model on ONNX Runtime: numpy and onnxruntime are all it needs."""

from __future__ import annotations

import os
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError, unknown_name
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.protocols import StepModel
from kerasgpt.runtime import forward
from kerasgpt.runtime.fused import FusedStepModel
from kerasgpt.runtime.session import MissingOperatorError, OnnxStepModel, open_session
from kerasgpt.tokenizer.bpe import Tokenizer


class PortableGraphWarning(UserWarning):
    """The fast graph cannot be run here, and the portable one is in its place."""


def open_bundle(
    folder: str | os.PathLike[str], *, precision: str | None = None, num_threads: int = 0
) -> StepLanguageModel:
    """Open the fastest ONNX file of a bundle that has the precision, its tokenizer and its settings.

    Where this onnxruntime lacks an operator of that file, the portable graph is opened in its place, of the
    same precision if there is one, else in float32, with a PortableGraphWarning.

    Args:
        folder: of the bundle.
        precision: ``"fp32"``, ``"fp16"``, ``"int8"`` or ``"int4"``; None means ``"fp32"``.
        num_threads: that work on one operator; 0 means one for each core.

    Raises:
        UsageError: no such precision.
        KerasGPTError: a file is missing or damaged, lies outside the folder, or does not fit the others.

    ```python
    lm = open_bundle("saved_models/demo")
    print(lm.generate(["ROMEO:"])[0].text)
    ```
    """
    root, wanted = Path(folder), precision or "fp32"
    if wanted not in artifacts.ONNX_FILES:
        raise unknown_name("precision", wanted, artifacts.ONNX_FILES)
    names = [name for name in artifacts.ONNX_FILES[wanted] if (root / name).exists()]
    if wanted != "fp32" and not names:
        missing = artifacts.ONNX_FILES[wanted][0]
        raise KerasGPTError(
            f"{root}: has no {missing}: export the model again with --precisions fp32,{wanted}"
        )
    chain = list(dict.fromkeys([*names, artifacts.ONNX_MODEL]))
    for name, following in pairwise(chain):
        try:
            return open_file(root, name, num_threads=num_threads)
        except MissingOperatorError as error:
            warnings.warn(f"{error}; {following} runs in its place", PortableGraphWarning, stacklevel=2)
    return open_file(root, chain[-1], num_threads=num_threads)


def open_file(folder: str | os.PathLike[str], name: str, *, num_threads: int = 0) -> StepLanguageModel:
    """Open one of a bundle's ONNX files with its tokenizer and settings; errors as in `open_bundle`."""
    root = Path(folder)
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise KerasGPTError(f"{path}: leads to {path.resolve()}, outside the bundle; refused")
    config = artifacts.read_config(root)
    model = open_step_model(path, max_sequence_length=config.max_sequence_length, num_threads=num_threads)
    if model.vocabulary_size != config.vocabulary_size:
        raise KerasGPTError(
            f"{path}: has {model.vocabulary_size} ids and {artifacts.CONFIG} says {config.vocabulary_size};"
            f" export the model again"
        )
    return StepLanguageModel(model, Tokenizer.from_preset(root), artifacts.read_generation_config(root))


def open_step_model(path: Path, *, max_sequence_length: int, num_threads: int = 0) -> StepModel:
    """Open an ONNX file, portable, fused or the forward pass alone: the file tells which it is."""
    session: Any = open_session(path, num_threads)
    if {value.name for value in session.get_inputs()} == forward.INPUTS:
        return forward.ForwardModel(session, path, max_sequence_length=max_sequence_length)
    if artifacts.LOGIT_OFFSETS in {value.name for value in session.get_overridable_initializers()}:
        return FusedStepModel(session, max_sequence_length=max_sequence_length)
    return OnnxStepModel(path, max_sequence_length=max_sequence_length, session=session)
