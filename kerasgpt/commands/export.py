"""``kerasgpt export``: a model or run becomes one verified bundle."""

from __future__ import annotations

from pathlib import Path

import click

from kerasgpt.artifacts import FORMATS
from kerasgpt.engines import resolve
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.extras import require


@click.command("export")
@click.argument("source", metavar="MODEL|RUN")
@click.option("--out", required=True, help="Folder of the bundle; a bundle that is there is replaced.")
@click.option("--formats", default=",".join(reversed(FORMATS)), show_default=True, help="Comma-separated.")
@click.option(
    "--precisions",
    default="fp32",
    show_default=True,
    help="Of ONNX fp32,fp16,int8,int4, of the SavedModel fp32,bf16,int8.",
)
@click.option(
    "--calibration-data",
    help="Text like what the model will read, to round int8 and int4 by.  [default: its own writing]",
)
@click.option("--evaluation-data", help="Held-out text: what each precision costs goes into the report.")
@click.option(
    "--writer",
    default="direct",
    show_default=True,
    help="Of ONNX. tf2onnx, Keras's own route, writes the forward pass alone: it scores and cannot generate.",
)
@click.option(
    "--weights", default="float32", show_default=True, help="Beside the exported files: float32 or none."
)
@click.option(
    "--fast-only",
    is_flag=True,
    help="Of ONNX keep the fast files alone, for this package and GenAI on a CPU.",
)
@click.option("--xla", is_flag=True, help="Let XLA compile what the SavedModel generates with.")
@click.option(
    "--inputs-embeds",
    is_flag=True,
    help="Write also the ONNX file that reads vectors: of other encoders, or a soft prompt.",
)
@click.option("--model-card", help="Markdown that becomes the bundle's README.md.")
@click.option("--max-perplexity-increase", type=float, default=10.0, show_default=True, help="In percent.")
def command(
    source: str,
    out: str,
    formats: str,
    precisions: str,
    calibration_data: str | None,
    evaluation_data: str | None,
    writer: str,
    weights: str,
    fast_only: bool,
    xla: bool,
    inputs_embeds: bool,
    model_card: str | None,
    max_perplexity_increase: float,
) -> None:
    """Write the formats, load each in a fresh process, compare it with the model, then keep it.

    Nothing is left behind when an artifact differs from the trained model.
    """
    names = _names(formats)
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    require("keras", "export", "exporting")
    export_folder = resolve("kerasgpt.export.pipeline:export_folder")
    export_folder(
        source,
        out,
        names,
        _names(precisions),
        tell=lambda line: click.echo(line, err=True),
        writer=writer,
        xla=xla,
        weights=weights,
        fast_only=fast_only,
        inputs_embeds=inputs_embeds,
        calibration_text=_text(calibration_data, "the calibration data") if calibration_data else "",
        evaluation_text=_text(evaluation_data, "the evaluation data") if evaluation_data else "",
        model_card=_text(model_card, "the model card") if model_card else "",
        max_perplexity_increase=max_perplexity_increase,
    )
    click.echo(out)


def _text(path: str, purpose: str) -> str:
    try:
        text = Path(path).read_bytes().decode("utf-8")  # line ends as they are
    except OSError as error:
        raise KerasGPTError(f"{path}: cannot read {purpose} ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise KerasGPTError(f"{path}: cannot read {purpose} ({error}); give UTF-8 text") from error
    if not text.strip():
        raise UsageError(f"{path}: is empty; give {purpose}")
    return text


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
