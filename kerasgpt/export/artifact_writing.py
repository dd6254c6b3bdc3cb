"""The artifacts of a bundle, written one by one, and each proved before the next."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from kerasgpt import artifacts
from kerasgpt.checkpoints.mapping import named_arrays
from kerasgpt.errors import KerasGPTError
from kerasgpt.export.proof import Proof, artifact_path, prove
from kerasgpt.export.reference import record
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.models.causal_lm import CausalLM
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.models.language_model import step_model
from kerasgpt.protocols import Logits
from kerasgpt.recurrent_config import RecurrentConfig
from kerasgpt.tasks.templates import TaskTemplate
from kerasgpt.tokenizer.bpe import Tokenizer

Tell: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """Which artifacts, and how they are made; each field as in `export_bundle`."""

    formats: Sequence[str]
    precisions: Sequence[str]
    calibration_text: str
    xla: bool
    inputs_embeds: bool
    task: TaskTemplate | None


def _write_model_folder(
    model: CausalLM, tokenizer: Tokenizer, settings: GenerationConfig, bundle: Path
) -> None:
    model.save_to_preset(bundle)
    tokenizer.save_to_preset(bundle, max_sequence_length=model.config.max_sequence_length)
    artifacts.write_json(bundle / artifacts.GENERATION_CONFIG, settings.to_huggingface(model.config))


def write_and_prove(
    model: CausalLM,
    tokenizer: Tokenizer,
    settings: GenerationConfig,
    bundle: Path,
    asked: Asked,
    tell: Tell,
) -> list[Proof]:
    """Write a bundle's artifacts one after the other, each proved before the next; see `export_bundle`.

    Raises:
        UsageError: the settings hold an id that the model does not have.
        KerasGPTError: an artifact differs from the model, or cannot be written.
    """
    lm = StepLanguageModel(step_model(model), tokenizer, settings)
    lm.requests.check_settings(settings)
    tell("writing the weights and the tokenizer")
    _write_model_folder(model, tokenizer, settings, bundle)
    tell("recording the model's answers")
    reference, logits = record(lm)
    reference.save(bundle / artifacts.PARITY)
    with _logits_file(logits) as full_logits:
        del logits
        proofs = [_proved(bundle, "keras", full_logits, tell)]
        for name in asked.formats:
            if name == "saved_model":
                proofs += _write_saved_models(lm, model, bundle, asked, full_logits, tell)
                continue
            tell(f"writing {artifacts.FORMATS[name]}")
            _write_onnx(model, bundle)
            proofs.append(_proved(bundle, name, full_logits, tell))
    if "onnx" in asked.formats and isinstance(model, GPT2CausalLM):
        proofs += _write_variants(lm, model, bundle, asked, tell)
    return proofs


def write_and_prove_forward(model: Any, tokenizer: Tokenizer, bundle: Path, tell: Tell) -> list[Proof]:
    """Write what tf2onnx makes of a model of the user's own, and prove it."""
    from kerasgpt.export.forward import write_forward_bundle  # onnx may be missing likewise

    tell(f"writing the forward pass as {artifacts.ONNX_MODEL} by tf2onnx")
    logits = write_forward_bundle(model, tokenizer, bundle)
    with _logits_file(logits) as full_logits:
        return [_proved(bundle, "onnx", full_logits, tell)]


@contextmanager
def _logits_file(logits: Logits) -> Iterator[Path]:
    """Yield an .npy for the child processes to read."""
    with tempfile.TemporaryDirectory(prefix="kerasgpt-export-") as scratch:
        path = Path(scratch) / "logits.npy"
        np.save(path, logits)
        yield path


def _write_variants(
    lm: StepLanguageModel,
    model: CausalLM,
    bundle: Path,
    asked: Asked,
    tell: Tell,
) -> list[Proof]:
    from kerasgpt.export import variants  # onnx may be missing where it is not asked for

    names, left_out = variants.chosen(model.config, asked.precisions, asked.inputs_embeds)
    if left_out:
        tell(left_out)
    text = asked.calibration_text
    writer = variants.VariantWriter(model.config, named_arrays(model), lm, bundle, text, tell)
    proofs = []
    for name in names:
        tell(f"writing {artifacts.VARIANTS[name][0]}")
        writer.write(name)
        proofs.append(_proved(bundle, name, None, tell))
    return proofs


def _proved(
    bundle: Path, engine: str, full_logits: Path | None, tell: Tell, precision: str | None = None
) -> Proof:
    file = artifact_path(bundle, engine).relative_to(bundle)
    tell(f"proving {file} in a fresh process")
    proof = prove(bundle, engine, full_logits, precision)
    if not proof.parity.holds:
        remedy = "" if proof.precision == "fp32" else f"; leave {proof.precision} out of the precisions"
        raise KerasGPTError(
            f"{file}: differs from the trained model, nothing was exported: {proof.sentence}{remedy}"
        )
    tell(f"{file}: {proof.sentence}")
    return proof


def _write_onnx(model: CausalLM, bundle: Path) -> None:
    # onnx may be missing where it is not asked for
    if isinstance(model.config, RecurrentConfig):
        from kerasgpt.export.recurrent_graph import write_recurrent

        write_recurrent(model.config, named_arrays(model), bundle / artifacts.ONNX_MODEL)
    else:
        from kerasgpt.export.onnx_graph import write_onnx

        write_onnx(model.config, named_arrays(model), bundle / artifacts.ONNX_MODEL)


def _write_saved_models(
    lm: StepLanguageModel,
    model: CausalLM,
    bundle: Path,
    asked: Asked,
    full_logits: Path,
    tell: Tell,
) -> list[Proof]:
    from kerasgpt.export import saved_model  # TensorFlow may be missing likewise

    proofs = []
    weights, guesses = named_arrays(model), None
    if isinstance(model, GPT2CausalLM):
        tell("asking the model what follows each token, for drafts")
        guesses = saved_model.guesses_of(model.config, weights)
    for engine, precision in artifacts.saved_models_of(asked.precisions).items():
        path = artifact_path(bundle, engine)
        tell(f"writing {path.relative_to(bundle)} in {precision}")
        saved_model.write_saved_model(
            model.config,
            weights,
            lm.tokenizer,
            lm.settings,
            path,
            precision,
            xla=asked.xla,
            task=asked.task,
            guesses=guesses,
        )
        if precision != "fp32":
            rounded = saved_model.rounded_model(model.config, weights, precision)
            reference, _ = record(StepLanguageModel(step_model(rounded), lm.tokenizer, lm.settings))
            reference.save(bundle / f"parity_{engine}.npz")
        proofs.append(_proved(bundle, engine, full_logits if precision == "fp32" else None, tell, precision))
    return proofs
