"""What may be asked of an export."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasgpt import artifacts, checks
from kerasgpt.architectures import architecture_of, type_of
from kerasgpt.checkpoints.mapping import variables_by_name
from kerasgpt.engines import ENGINE_PRECISIONS
from kerasgpt.errors import UsageError, first_line, unknown_name
from kerasgpt.export.price import MAX_PERPLEXITY_INCREASE
from kerasgpt.extras import require
from kerasgpt.models.causal_lm import CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.end_of_text import aligned

DIRECT, TF2ONNX = "direct", "tf2onnx"
WRITERS = (DIRECT, TF2ONNX)
"""Who may write the ONNX file: our own writer, or tf2onnx for a Keras model that a user has modified."""


def check_request(formats: Sequence[str], precisions: Sequence[str], target: Path, writer: str) -> None:
    """Refuse what cannot be exported, before anything is written; arguments as in `export_bundle`.

    Raises:
        UsageError: an unknown format, precision or writer, or `target` holds something that is no bundle.
        MissingExtraError: a package that this takes is not installed.
    """
    if writer not in WRITERS:
        raise unknown_name("writer", writer, WRITERS)
    checks.refuse_text("formats", formats)
    checks.refuse_text("precisions", precisions)
    for name in formats:
        if name not in artifacts.FORMATS:
            raise unknown_name("format", name, artifacts.FORMATS)
    if not formats or not precisions:
        raise UsageError("nothing to export: name at least one format and one precision")
    for name in precisions:
        if name not in artifacts.PRECISIONS:
            raise unknown_name("precision", name, artifacts.PRECISIONS)
        if not any(name in ENGINE_PRECISIONS[asked] for asked in formats):
            raise UsageError(f"precision {name}: {' and '.join(formats)} has no such file; see --help")
    if "onnx" in formats:
        require("onnx", "export", "exporting to ONNX")
    if writer == TF2ONNX:
        require("tf2onnx", "export", "the tf2onnx writer")
    if "saved_model" in formats:
        require("tensorflow", "export", "exporting a SavedModel")
    if not may_be_replaced(target):
        raise UsageError(f"{target}: exists and is no bundle; choose another folder, or remove it")


def check_provenance(provenance: dict[str, Any] | None) -> None:
    """Refuse what the manifest, which is JSON, cannot hold.

    Raises:
        UsageError: a value is none that JSON has.
    """
    try:
        json.dumps(provenance)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"provenance: {first_line(error)}; give texts, numbers, lists and mappings"
        ) from error


def check_embeds(inputs_embeds: bool, formats: Sequence[str], writer: str) -> None:
    """Refuse to write the graph that reads vectors where no ONNX is written by our own writer.

    Raises:
        UsageError: it is asked for, and cannot be.
    """
    if not inputs_embeds:
        return
    if "onnx" not in formats:
        raise UsageError(
            f"inputs_embeds: writes an ONNX file, and the formats are {','.join(formats)}: add onnx to them"
        )
    if writer != DIRECT:
        raise UsageError(
            f"inputs_embeds: the writer {writer} has no file that reads vectors; take the writer {DIRECT}"
        )


def check_effects(
    formats: Sequence[str],
    precisions: Sequence[str],
    *,
    xla: bool,
    calibration_text: str,
    evaluation_text: str,
    max_perplexity_increase: float,
) -> None:
    """Refuse what would have no effect beside the rest of the request; arguments as in `export_bundle`.

    Raises:
        UsageError: something is asked for that no artifact of these has.
    """
    if xla and "saved_model" not in formats:
        raise UsageError(
            f"xla: is of the SavedModel, and the formats are {','.join(formats)}:"
            " add saved_model to them, or leave it out"
        )
    if calibration_text and not ("onnx" in formats and {"int8", "int4"} & set(precisions)):
        raise UsageError(
            f"the calibration data is for ONNX in int8 and int4, and asked for is {','.join(formats)} in"
            f" {','.join(precisions)}: add one of these, or leave the data out"
        )
    if max_perplexity_increase != MAX_PERPLEXITY_INCREASE and not evaluation_text:
        raise UsageError(
            f"a perplexity increase of at most {max_perplexity_increase:g} %: is measured on the evaluation"
            " data, and there is none; give some, or leave the limit out"
        )


def check_soft_prompt(formats: Sequence[str], precisions: Sequence[str]) -> None:
    """Refuse what a soft prompt cannot be read by.

    Raises:
        UsageError: another format than ONNX is asked for, or another precision than float32.
    """
    if list(formats) != ["onnx"] or list(precisions) != ["fp32"]:
        raise UsageError(
            f"formats {','.join(formats)} in {','.join(precisions)}: a model with a soft prompt is exported"
            " as onnx in fp32; give --formats onnx --precisions fp32"
        )


def check_model(
    model: Any, formats: Sequence[str], precisions: Sequence[str], writer: str, *, xla: bool = False
) -> None:
    """Refuse a model that the writer does not know; arguments as in `export_bundle`.

    Raises:
        UsageError: it has weights that no model of its type has, or is not what tf2onnx can be given; or a
            recurrent model is asked for in a form that it has not.
    """
    if writer == TF2ONNX:
        from kerasgpt.export.forward import check_forward  # onnx may be missing where it is not asked for

        check_forward(model, formats, precisions)
        return
    if isinstance(model, CausalLM) and type_of(model.config) != "gpt2":
        for name in precisions:
            if name != "fp32":
                raise UsageError(
                    f"precision {name}: a model of type {model.model_type} is exported in fp32 alone"
                )
        if xla:
            raise UsageError(
                f"xla: the SavedModel of a model of type {model.model_type} has no compiled form"
            )
    known = isinstance(model, CausalLM) and {id(weight) for weight in variables_by_name(model).values()}
    unknown = [weight.path for weight in model.weights if not known or id(weight) not in known]
    if unknown:
        title = architecture_of(model.config).title if known else "GPT-2"
        raise UsageError(
            f"{type(model).__name__} has weights that no {title} has ({unknown[0]}): export it with the"
            f" writer tf2onnx, which takes any Keras model and writes its forward pass"
        )


def align_end_of_text(model: Any, tokenizer: Tokenizer) -> None:
    """Let a model's configuration name the tokenizer's end of text, for readers that stop where it says.

    Raises:
        UsageError: the configuration names another special token, at which nothing here would stop.
    """
    model.config = aligned(model.config, tokenizer)
    end, named = tokenizer.end_of_text_id, model.config.eos_token_id
    if named != end < model.config.vocabulary_size:
        name = next(name for name, index in tokenizer.special_tokens.items() if index == named)
        raise UsageError(
            f"eos_token_id {named} ({name}) of the model is not the tokenizer's end of text,"
            f" {tokenizer.end_of_text} ({end}): set model.config = model.config.replace(eos_token_id={end}),"
            f" or let texts end with {name}: Tokenizer(..., end_of_text=...), or eos_token in the"
            f" folder's {artifacts.TOKENIZER_CONFIG}"
        )


def may_be_replaced(target: Path) -> bool:
    """Whether a bundle may take the place of what is there: of nothing, a bundle or an empty folder."""
    if not target.exists() or (target / artifacts.MANIFEST).is_file():
        return True
    return target.is_dir() and not any(target.iterdir())
