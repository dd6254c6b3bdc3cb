"""A slim bundle: what its readers can do without is taken out again, once it has served the proof."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kerasgpt import artifacts
from kerasgpt.architectures import AnyConfig
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError, unknown_name
from kerasgpt.export.proof import answers_file, artifact_path

WEIGHTS: Final = ("float32", "none")
"""How a bundle may hold the trained weights beside its exported files."""


def left_out(
    config: AnyConfig,
    formats: Sequence[str],
    precisions: Sequence[str],
    weights: str,
    fast_only: bool,
    inputs_embeds: bool = False,
) -> list[str]:
    """The artifacts that a bundle is not to keep, by the names of `kerasgpt.export.proof.Proof.engine`.

    Args:
        config: of the model.
        formats: asked for.
        precisions: asked for.
        weights: of `WEIGHTS`; ``"none"`` means without model.safetensors.
        fast_only: whether of the ONNX files only the fast ones stay.
        inputs_embeds: whether one of them reads vectors.

    Raises:
        UsageError: no such form of the weights, a bundle without a fast file in which only those stay, or
            one that reads vectors, which no fast file does.
    """
    if weights not in WEIGHTS:
        raise unknown_name("form of the weights", weights, WEIGHTS)
    names = ["keras"] if weights == "none" else []
    if not fast_only:
        return names
    if inputs_embeds:
        raise UsageError(
            f"--fast-only would leave out {artifacts.ONNX_EMBEDS}, the file that reads vectors: leave out one"
            " of the two, --fast-only or --inputs-embeds (a soft prompt needs the latter)"
        )
    from kerasgpt.export.variants import chosen  # onnx may be missing where it is not asked for

    if "onnx" not in formats:
        kept: list[str] = []
        reason = "the formats name no onnx"
    elif isinstance(config, GPT2Config):
        kept, reason = chosen(config, precisions)
    else:
        kept, reason = [], "a recurrent model has none"
    fast = [name for name in kept if name.startswith("fast_")]
    if not fast:
        reason = reason or f"there is none in {', '.join(precisions)}"
        raise UsageError(f"nothing to keep but the fast ONNX files: {reason}; leave out --fast-only")
    return [*names, "onnx", *(name for name in artifacts.VARIANTS if name not in fast)]


def remove(bundle: Path, engines: Sequence[str]) -> None:
    """Delete artifacts of a bundle in the making, with the answers that they alone were compared with."""
    for engine in engines:
        path = artifact_path(bundle, engine)
        answers = answers_file(engine)
        own = [] if answers == artifacts.PARITY else [bundle / answers]
        for file in [path, path.with_name(f"{path.name}_data"), *own]:
            file.unlink(missing_ok=True)
