"""A bundle as a language model on ONNX Runtime: numpy and onnxruntime are all it needs."""

from __future__ import annotations

import os
from pathlib import Path

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.runtime.session import OnnxStepModel
from kerasgpt.tokenizer.bpe import Tokenizer


def open_bundle(folder: str | os.PathLike[str], *, num_threads: int = 0) -> StepLanguageModel:
    """Open a bundle's ONNX file, tokenizer and generation settings.

    Args:
        folder: of the bundle.
        num_threads: that work on one operator; 0 means one for each core.

    Raises:
        KerasGPTError: a file is missing or damaged, lies outside the folder, or does not fit the others.

    ```python
    lm = open_bundle("saved_models/demo")
    print(lm.generate(["ROMEO:"])[0].text)
    ```
    """
    root = Path(folder)
    path = root / artifacts.ONNX_MODEL
    if not path.resolve().is_relative_to(root.resolve()):
        raise KerasGPTError(f"{path}: leads to {path.resolve()}, outside the bundle; refused")
    config = artifacts.read_config(root)
    model = OnnxStepModel(path, max_sequence_length=config.max_sequence_length, num_threads=num_threads)
    if model.vocabulary_size != config.vocabulary_size:
        raise KerasGPTError(
            f"{path}: has {model.vocabulary_size} ids and {artifacts.CONFIG} says {config.vocabulary_size};"
            f" export the model again"
        )
    return StepLanguageModel(model, Tokenizer.from_preset(root), artifacts.read_generation_config(root))
