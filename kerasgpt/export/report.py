"""The export report: what was written, how large it is, how exact, and made by which versions."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from kerasgpt import artifacts
from kerasgpt.atomic import write_text
from kerasgpt.config import GPT2Config
from kerasgpt.export.proof import Proof, artifact_path

_PACKAGES = ("kerasgpt", "keras", "tensorflow", "onnx", "onnxruntime", "tokenizers", "numpy")


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


def write_report(folder: Path, config: GPT2Config, proofs: list[Proof]) -> None:
    """Write export_report.json and export_report.md into a bundle in the making."""
    rows = [_row(folder, proof) for proof in proofs]
    content = {"num_parameters": config.num_parameters, "versions": versions(), "artifacts": rows}
    artifacts.write_json(folder / artifacts.REPORT_JSON, content)
    write_text(folder / artifacts.REPORT_MARKDOWN, _markdown(content, rows))


def _row(folder: Path, proof: Proof) -> dict[str, Any]:
    path = artifact_path(folder, proof.engine)
    # The tie of a SavedModel's weights lies in its folder, an ONNX file's external data beside it.
    measured = path if path.is_dir() or proof.engine == "keras" else path.parent
    return {
        "artifact": str(path.relative_to(folder)),
        "engine": proof.engine,
        "precision": "fp32",
        "size_bytes": size_in_bytes(measured),
        "max_logit_error": proof.parity.max_logit_error,
        "max_cached_logit_error": proof.parity.max_cached_logit_error,
        "num_greedy_tokens_compared": proof.parity.num_tokens_compared,
        "num_near_ties": proof.parity.num_near_ties,
        "proof_seconds": round(proof.seconds, 2),
    }


def _markdown(content: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    how = (
        f"A GPT-2 of {content['num_parameters']:,} parameters. Each artifact was loaded in a fresh process"
        " from its own files only and compared with the trained Keras model: logits at every position,"
        " read at once and token by token with the cache, and greedy text, together and one by one."
    )
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
            f"| `{row['artifact']}` | {row['precision']} | {row['size_bytes'] / 1e6:.1f} MB"
            f" | {row['max_logit_error']:.1e} | {'-' if cached is None else f'{cached:.1e}'}"
            f" | {row['num_greedy_tokens_compared']} equal | {row['num_near_ties']} |"
        )
    made_by = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return "\n".join([*lines, "", f"Made by {made_by}.", ""])
