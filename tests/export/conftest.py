"""A trained model in memory, proofs without their child processes, and a model's parts altered."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kerasgpt import GPT2CausalLM, Tokenizer
from kerasgpt.export.parity import Parity
from kerasgpt.export.proof import Proof, compare, own_files, prove


@pytest.fixture(scope="session")
def trained(model_folder: Path) -> tuple[GPT2CausalLM, Tokenizer]:
    """The small model, and its tokenizer."""
    return GPT2CausalLM.from_preset(model_folder), Tokenizer.from_preset(model_folder)


@pytest.fixture(scope="session")
def prove_only() -> Callable[..., Callable[..., Proof]]:
    """A `prove` for the named engines only, which lets the others hold.

    ONNX runs in a child process as always; Keras and TensorFlow, which take seconds to import, run here.
    """

    def choose(*engines: str) -> Callable[..., Proof]:
        def chosen(folder: Path, engine: str, full_logits: Path | None = None) -> Proof:
            if engine not in engines:
                return Proof(engine, 0.1, Parity(1e-6, 2e-6, 10, 0, []))
            if engine == "onnx":
                return prove(folder, engine, full_logits)
            with own_files(folder, engine) as apart:
                return Proof(engine, 0.1, compare(engine, apart, full_logits and np.load(full_logits)))

        return chosen

    return choose
