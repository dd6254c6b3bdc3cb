"""export_bundle: write every format, prove each in a fresh process, and only then let the folder appear."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from kerasgpt import artifacts
from kerasgpt.architectures import ARCHITECTURES
from kerasgpt.atomic import atomic_folder, write_text
from kerasgpt.export.artifact_writing import Asked, Tell, write_and_prove, write_and_prove_forward
from kerasgpt.export.float32 import in_float32
from kerasgpt.export.genai import write_genai
from kerasgpt.export.keras_hub import ours
from kerasgpt.export.price import MAX_PERPLEXITY_INCREASE, all_measured, check_prices
from kerasgpt.export.proof import Proof
from kerasgpt.export.report import versions, write_report
from kerasgpt.export.requests import (
    DIRECT,
    TF2ONNX,
    align_end_of_text,
    check_effects,
    check_embeds,
    check_model,
    check_provenance,
    check_request,
    check_soft_prompt,
    may_be_replaced,
)
from kerasgpt.export.serving_folder import write_serving
from kerasgpt.export.slimming import left_out, remove
from kerasgpt.export.transformers_js import write_transformers_js
from kerasgpt.generation.soft_prompt import fitting_prompt, read_soft_prompt, save_soft_prompt
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.manifest import Manifest
from kerasgpt.models.causal_lm import CausalLM, load_model
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.protocols import Vectors
from kerasgpt.tasks.templates import TaskTemplate, read_template
from kerasgpt.tokenizer.bpe import Tokenizer


def export_bundle(
    model: CausalLM | keras.Model,
    tokenizer: Tokenizer | None,
    folder: str | os.PathLike[str],
    formats: Sequence[str] = ("saved_model", "onnx"),
    precisions: Sequence[str] = ("fp32",),
    *,
    writer: str = DIRECT,
    xla: bool = False,
    weights: str = "float32",
    fast_only: bool = False,
    inputs_embeds: bool = False,
    soft_prompt: Vectors | None = None,
    generation_config: GenerationConfig | None = None,
    task: TaskTemplate | None = None,
    provenance: dict[str, Any] | None = None,
    calibration_text: str = "",
    evaluation_text: str = "",
    max_perplexity_increase: float = MAX_PERPLEXITY_INCREASE,
    model_card: str = "",
    tell: Tell = lambda _: None,
) -> list[Proof]:
    """Export a trained model as one folder that proves itself.

    The folder appears when every artifact in it has been loaded in a fresh process and found equal to
    `model`; a bundle that was there before is replaced as a whole, and stays if anything fails.

    Args:
        model: with its trained weights. For the writer ``"tf2onnx"`` any Keras model whose call maps ids
            (B, T) to logits (B, T, V), with a GPT2Config as ``config``, which says its sizes. Or a KerasHub
            ``GPT2CausalLM``, which is exported with the context of its backbone. What computes in mixed
            precision is exported in float32.
        tokenizer: the one it was trained with, KerasHub's too; None means that of KerasHub's preprocessor.
        folder: where the bundle goes.
        formats: of ``"saved_model"`` and ``"onnx"``.
        precisions: of the exported files: ``"fp32"``, ``"fp16"``, ``"int8"`` and ``"int4"`` of ONNX, where
            the portable float32 file is always among them; ``"fp32"``, ``"bf16"`` and ``"int8"`` of the
            SavedModel, the first of which lies at saved_model/1.
        writer: of the ONNX file: ``"direct"``, or for a model of your own ``"tf2onnx"``, which writes the
            forward pass alone: ONNX in float32 without a cache, which scores texts and writes none.
        xla: whether the SavedModel generates by functions that XLA compiles for a few sizes that requests are
            padded to: faster, after some seconds for each size when it first comes.
        weights: ``"float32"``, or ``"none"``: a bundle that runs, and is not trained on from.
        fast_only: whether of the ONNX files only the fast ones stay in the bundle, which this package and
            ONNX Runtime GenAI read on a CPU: the smallest there is. The others still take part in the proof.
        inputs_embeds: whether to write also the ONNX file that reads vectors in place of token ids: another
            encoder's, or a soft prompt.
        soft_prompt: vectors float32 (k, D) that the bundle puts before every text, by that very file; of the
            format ``"onnx"`` in ``"fp32"`` alone.
        generation_config: how the bundle generates unless told otherwise; default greedy, 64 tokens.
        task: how raw input becomes a prompt, of a model that was fine-tuned on a task.
        provenance: what to remember of the weights' origin.
        calibration_text: what int8 and int4 files are calibrated on, text like that which the model will
            read; without it the model writes some itself.
        evaluation_text: held-out text; the report then says each exported file's perplexity on it.
        max_perplexity_increase: in percent of float32's; a file that loses more fails the export.
        model_card: Markdown that becomes the bundle's README.md, as model hubs show it.
        tell: called with a line at each step.

    Returns:
        The proofs, the weights' first.

    Raises:
        UsageError: an unknown format, precision, writer or form of the weights, an option that would have no
            effect, a model that the writer does not know, no tokenizer, a soft prompt or settings that are
            not for this model, or `folder` holds something that is no bundle.
        KerasGPTError: an artifact differs from the model, or cannot be written.

    ```python
    kerasgpt.export_bundle(model, tokenizer, "bundle", formats=("onnx",))
    ```
    """
    target = Path(folder)
    check_request(formats, precisions, target, writer)
    check_provenance(provenance)
    if soft_prompt is not None:
        check_soft_prompt(formats, precisions)
        inputs_embeds = True
    check_embeds(inputs_embeds, formats, writer)
    check_effects(
        formats,
        precisions,
        xla=xla,
        calibration_text=calibration_text,
        evaluation_text=evaluation_text,
        max_perplexity_increase=max_perplexity_increase,
    )
    model, tokenizer = ours(model, tokenizer)
    if soft_prompt is not None:
        sizes = model.config.hidden_dim, model.config.max_sequence_length
        soft_prompt = fitting_prompt(soft_prompt, *sizes)
    check_model(model, formats, precisions, writer, xla=xla)
    align_end_of_text(model, tokenizer)
    if writer == DIRECT:
        model = in_float32(model)
    settings = generation_config or GenerationConfig()
    unwanted = left_out(model.config, formats, precisions, weights, fast_only, inputs_embeds)
    with atomic_folder(target, may_be_replaced) as bundle:
        if writer == TF2ONNX:
            proofs = write_and_prove_forward(model, tokenizer, bundle, tell)
        else:
            asked = Asked(formats, precisions, calibration_text, xla, inputs_embeds, task)
            proofs = write_and_prove(model, tokenizer, settings, bundle, asked, tell)
        if task:
            task.write(bundle)
        if model_card:
            write_text(bundle / artifacts.MODEL_CARD, model_card)
        if soft_prompt is not None:
            words = {"num_attention_heads": model.config.num_heads, "num_layers": model.config.num_layers}
            save_soft_prompt(soft_prompt, bundle / artifacts.SOFT_PROMPT, str(target), words)
        if "saved_model" in formats:
            write_serving(bundle, target.resolve().name)
        if evaluation_text:
            proofs = all_measured(bundle, proofs, evaluation_text, tell)
            check_prices(proofs, max_perplexity_increase)
        model_type = model.model_type if isinstance(model, CausalLM) else "gpt2"
        title = ARCHITECTURES[model_type].title
        write_report(bundle, model.count_params(), proofs, writer, unwanted, title)
        remove(bundle, unwanted)
        if "onnx" in formats and writer == DIRECT and isinstance(model, GPT2CausalLM):
            write_genai(model.config, settings, bundle)
            write_transformers_js(bundle)
        made_by = {**(provenance or {}), "writer": writer, "versions": versions()}
        kept = [name for name in formats if name not in unwanted]
        Manifest.of_folder(bundle, kept, made_by, precisions, model_type).write(bundle)
    return proofs


def export_folder(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    formats: Sequence[str] = ("saved_model", "onnx"),
    precisions: Sequence[str] = ("fp32",),
    tell: Tell = lambda _: None,
    writer: str = DIRECT,
    generation_config: GenerationConfig | None = None,
    **options: Any,
) -> list[Proof]:
    """Export a model folder or a run's best model; arguments and errors as in `export_bundle`.

    Unless told otherwise the bundle generates as that folder's generation_config.json says.
    """
    check_request(formats, precisions, Path(folder), writer)
    root = artifacts.model_folder(source)
    prompt = root / artifacts.SOFT_PROMPT
    return export_bundle(
        load_model(root, "float32"),
        Tokenizer.from_preset(root),
        folder,
        formats,
        precisions,
        generation_config=generation_config or artifacts.read_generation_config(root),
        task=read_template(root),
        provenance={"source": Path(source).name},
        tell=tell,
        writer=writer,
        soft_prompt=read_soft_prompt(prompt) if prompt.is_dir() else None,
        **options,
    )
