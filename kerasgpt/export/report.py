"""The export report: what was written, how large it is, how exact, and made by which versions."""

from __future__ import annotations

import platform
from collections.abc import Collection
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from kerasgpt import artifacts
from kerasgpt.atomic import write_text
from kerasgpt.export.proof import Proof, artifact_path

_PACKAGES = ("kerasgpt", "keras", "tensorflow", "onnx", "tf2onnx", "onnxruntime", "tokenizers", "numpy")

HOW = (
    "A language model ({title}) of {num_parameters:,} parameters. Each artifact was loaded in a fresh process"
    " from its own files only and compared with the trained Keras model: logits at every position, read at"
    " once and token by token with the cache, and greedy text, together and one by one."
)
HOW_FORWARD = (
    "A Keras model of {num_parameters:,} parameters, **the forward pass alone**, written by tf2onnx:"
    " `input_ids` (batch, tokens) in, `logits` out, no cache. It scores texts and writes none. It was loaded"
    " in a fresh process from its own files only, and its logits at every position compared with the Keras"
    " model's."
)


def versions() -> dict[str, str]:
    """The versions of Python and of each package that took part."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def size_in_bytes(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def write_report(
    folder: Path,
    num_parameters: int,
    proofs: list[Proof],
    writer: str = "direct",
    left_out: Collection[str] = (),
    title: str = "GPT-2",
) -> None:
    """Write export_report.json and export_report.md into a bundle in the making.

    `left_out` are the engines whose artifacts will not stay in it, `title` what the model is called.
    """
    rows = [_row(folder, proof) | _fate(proof.engine in left_out) for proof in proofs]
    content = {
        "num_parameters": num_parameters,
        "writer": writer,
        "versions": versions(),
        "artifacts": rows,
    }
    artifacts.write_json(folder / artifacts.REPORT_JSON, content)
    write_text(folder / artifacts.REPORT_MARKDOWN, _markdown(content, rows, title))


def _row(folder: Path, proof: Proof) -> dict[str, Any]:
    path = artifact_path(folder, proof.engine)
    beside = path.with_name(f"{path.name}_data")  # an ONNX file's weights, where they pass its limit
    row = {
        "artifact": str(path.relative_to(folder)),
        "engine": proof.engine,
        "precision": proof.precision,
        "size_bytes": size_in_bytes(path) + (size_in_bytes(beside) if beside.is_file() else 0),
        "max_logit_error": proof.parity.max_logit_error,
        "max_cached_logit_error": proof.parity.max_cached_logit_error,
        "num_greedy_tokens_compared": proof.parity.num_tokens_compared,
        "num_near_ties": proof.parity.num_near_ties,
        "proof_seconds": round(proof.seconds, 2),
    }
    if proof.perplexity is not None:
        row["perplexity"] = proof.perplexity
    return row if proof.speed is None else {**row, **asdict(proof.speed)}


def _fate(is_left_out: bool) -> dict[str, bool]:
    return {"left_out": True} if is_left_out else {}


def _markdown(content: dict[str, Any], rows: list[dict[str, Any]], title: str) -> str:
    how = (HOW if content["writer"] == "direct" else HOW_FORWARD).format(title=title, **content)
    lines = [
        "# Export report",
        "",
        how,
        "",
        "| artifact | precision | size | largest logit error | with the cache | greedy tokens | near ties |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cached = row["max_cached_logit_error"]
        lines.append(
            f"| `{row['artifact']}`{', left out' if 'left_out' in row else ''} | {row['precision']}"
            f" | {row['size_bytes'] / 1e6:.1f} MB"
            f" | {row['max_logit_error']:.1e} | {'-' if cached is None else f'{cached:.1e}'}"
            f" | {row['num_greedy_tokens_compared']} equal | {row['num_near_ties']} |"
        )
    lines += _prices(rows) + _speeds(rows)
    made_by = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return "\n".join([*lines, "", f"Made by {made_by}.", ""])


def _speeds(rows: list[dict[str, Any]]) -> list[str]:
    """How fast the SavedModels were in the processes that proved them."""
    measured = [row for row in rows if "load_seconds" in row]
    if not measured:
        return []
    lines = ["", "| artifact | loaded in | one text | resident then |", "|---|---|---|---|"]
    return lines + [
        f"| `{row['artifact']}` | {row['load_seconds']:.1f} s | {row['tokens_per_second']:.0f} tokens/s"
        f" | {row['resident_bytes'] / 1e6:.0f} MB |"
        for row in measured
    ]


def _prices(rows: list[dict[str, Any]]) -> list[str]:
    """What each precision costs in perplexity, where that was measured."""
    measured = [row for row in rows if "perplexity" in row]
    if not measured:
        return []
    baseline = next((row["perplexity"] for row in measured if row["precision"] == "fp32"), None)
    lines = ["", "| artifact | perplexity on the evaluation data | against float32 |", "|---|---|---|"]
    return lines + [
        f"| `{row['artifact']}` | {row['perplexity']:.4f} | {_increase(row['perplexity'], baseline)} |"
        for row in measured
    ]


def _increase(perplexity: float, baseline: float | None) -> str:
    return "-" if baseline is None else f"{100 * (perplexity / baseline - 1):+.2f} %"
