"""A trained model in memory, proofs without their child processes, and a model's parts altered."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kerasgpt import GPT2CausalLM, Tokenizer
from kerasgpt.export.parity import Parity
from kerasgpt.export.proof import Proof, prove


@pytest.fixture(scope="session")
def trained(model_folder: Path) -> tuple[GPT2CausalLM, Tokenizer]:
    """The small model, and its tokenizer."""
    return GPT2CausalLM.from_preset(model_folder), Tokenizer.from_preset(model_folder)


@pytest.fixture(scope="session")
def prove_only() -> Callable[..., Callable[..., Proof]]:
    """A `prove` that starts a child process for the named engines only, and lets the others hold."""

    def choose(*engines: str) -> Callable[..., Proof]:
        def chosen(folder: Path, engine: str, full_logits: Path | None = None) -> Proof:
            if engine in engines:
                return prove(folder, engine, full_logits)
            return Proof(engine, 0.1, Parity(1e-6, 2e-6, 10, 0, []))

        return chosen

    return choose
