"""What a precision costs: the perplexity of each exported file on held-out text, against float32's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from kerasgpt.engines import resolve
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.proof import Proof, artifact_path
from kerasgpt.tasks.language_modeling import evaluate

MAX_PERPLEXITY_INCREASE: Final = 10.0  # percent


def measured(bundle: Path, proof: Proof, text: str, tell: Callable[[str], None]) -> Proof:
    """A proof with the perplexity of its artifact on a text, unless it is the trained model itself."""
    if proof.engine == "keras":
        return proof
    file = artifact_path(bundle, proof.engine).relative_to(bundle).as_posix()
    room = "in_graph" if proof.engine.startswith("saved_model") else "runtime"
    lm = resolve(f"kerasgpt.{room}.language_model:open_file")(bundle, file)
    perplexity = evaluate(lm, text)["perplexity"]
    tell(f"{file}: perplexity {perplexity:.4f} on the evaluation data")
    return dataclasses.replace(proof, perplexity=perplexity)


def check_prices(proofs: Sequence[Proof], max_increase: float) -> None:
    """Refuse what costs too much.

    Args:
        proofs: measured; without a float32 file among them nothing can be said.
        max_increase: of the perplexity, in percent of the first such file's.

    Raises:
        KerasGPTError: a file's perplexity is higher than that allows.
    """
    baseline = next(
        (proof.perplexity for proof in proofs if proof.precision == "fp32" and proof.perplexity), None
    )
    for proof in proofs:
        if baseline is None or proof.perplexity is None:
            continue
        increase = 100 * (proof.perplexity / baseline - 1)
        if not increase <= max_increase:
            raise KerasGPTError(
                f"{proof.precision}: raises the perplexity by {increase:.3g} %, allowed are"
                f" {max_increase:g} %; leave this precision out, or allow more with --max-perplexity-increase"
            )
