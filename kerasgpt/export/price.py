"""What a precision costs: the perplexity of each exported file on held-out text, against float32's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from kerasgpt import artifacts
from kerasgpt.engines import resolve
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.proof import Proof, artifact_path
from kerasgpt.export.variants import EMBEDS
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.soft_prompt import read_soft_prompt, with_soft_prompt
from kerasgpt.models.causal_lm import load_model
from kerasgpt.models.language_model import step_model
from kerasgpt.tasks.language_modeling import evaluate
from kerasgpt.tokenizer.bpe import Tokenizer

MAX_PERPLEXITY_INCREASE: Final = 10.0  # percent


def all_measured(
    bundle: Path, proofs: Sequence[Proof], text: str, tell: Callable[[str], None]
) -> list[Proof]:
    """Proofs with the perplexities of their artifacts on a text.

    That of the trained model's own weights is measured only where no exported file has float32's, and where
    there is a soft prompt that of the file alone which reads it.
    """
    files = [proof for proof in proofs if proof.engine != "keras"]
    has_baseline = any(proof.precision == "fp32" for proof in files)
    has_prompt = (bundle / artifacts.SOFT_PROMPT).exists()
    left_out = {"keras"} if has_baseline else set()
    if has_prompt:
        left_out = {proof.engine for proof in proofs} - {EMBEDS}
    return [proof if proof.engine in left_out else measured(bundle, proof, text, tell) for proof in proofs]


def measured(bundle: Path, proof: Proof, text: str, tell: Callable[[str], None]) -> Proof:
    """A proof with the perplexity of its artifact on a text."""
    file = artifact_path(bundle, proof.engine).relative_to(bundle).as_posix()
    if proof.engine == "keras":
        lm = StepLanguageModel(step_model(load_model(bundle, "float32")), Tokenizer.from_preset(bundle))
    else:
        room = "in_graph" if proof.engine.startswith("saved_model") else "runtime"
        lm = resolve(f"kerasgpt.{room}.language_model:open_file")(bundle, file)
    if (prompt := bundle / artifacts.SOFT_PROMPT).exists():
        lm = with_soft_prompt(lm, read_soft_prompt(prompt))
    perplexity = evaluate(lm, text)["perplexity"]
    tell(f"{file}: perplexity {perplexity:.4f} on the evaluation data")
    return dataclasses.replace(proof, perplexity=perplexity)


def check_prices(proofs: Sequence[Proof], max_increase: float) -> None:
    """Refuse what costs too much.

    Args:
        proofs: measured; without float32 among them nothing can be said.
        max_increase: of the perplexity, in percent of the first one's in float32.

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
