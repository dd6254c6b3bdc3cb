"""What a precision costs: the perplexity of each ONNX file on held-out text, against float32's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.proof import Proof, artifact_path
from kerasgpt.runtime.language_model import open_file
from kerasgpt.tasks.language_modeling import evaluate

MAX_PERPLEXITY_INCREASE: Final = 10.0  # percent


def measured(bundle: Path, proof: Proof, text: str, tell: Callable[[str], None]) -> Proof:
    """A proof with the perplexity of its artifact on a text, if it is an ONNX file."""
    if proof.engine != "onnx" and proof.engine not in artifacts.VARIANTS:
        return proof
    file = artifact_path(bundle, proof.engine).relative_to(bundle).as_posix()
    perplexity = evaluate(open_file(bundle, file), text)["perplexity"]
    tell(f"{file}: perplexity {perplexity:.4f} on the evaluation data")
    return dataclasses.replace(proof, perplexity=perplexity)


def check_prices(proofs: Sequence[Proof], max_increase: float) -> None:
    """Refuse what costs too much.

    Args:
        proofs: measured, with the portable float32 file's among them.
        max_increase: of the perplexity, in percent of that file's.

    Raises:
        KerasGPTError: a file's perplexity is higher than that allows.
    """
    baseline = next((proof.perplexity for proof in proofs if proof.engine == "onnx"), None)
    for proof in proofs:
        if baseline is None or proof.perplexity is None:
            continue
        increase = 100 * (proof.perplexity / baseline - 1)
        if not increase <= max_increase:
            raise KerasGPTError(
                f"{proof.precision}: raises the perplexity by {increase:.3g} %, allowed are"
                f" {max_increase:g} %; leave this precision out, or allow more with --max-perplexity-increase"
            )
