"""Verify a bundle: each file against its hash, each artifact against the recorded answers."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgpt import artifacts
from kerasgpt.errors import KerasGPTError, counted
from kerasgpt.export.proof import artifact_path, child_backend, prove
from kerasgpt.generation.soft_prompt import fitting_prompt, read_soft_prompt
from kerasgpt.manifest import Manifest

ENGINE_NEEDS = {"keras": "keras", "onnx": "onnxruntime", "saved_model": "tensorflow"}
ENGINE_NEEDS |= dict.fromkeys(artifacts.VARIANTS, "onnxruntime")
ENGINE_NEEDS |= dict.fromkeys(artifacts.SAVED_MODELS, "tensorflow")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: a file of the bundle.
        status: ``"ok"``, ``"failed"`` or ``"not checked"``.
        detail: why, in a sentence.
    """

    name: str
    status: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        folder: the bundle.
        checks: hashes first, then each artifact's parity.
        strict: whether what could not be checked counts as failed.
    """

    folder: str
    checks: list[Check]
    strict: bool = False

    @property
    def holds(self) -> bool:
        """Whether every file is intact and in parity."""
        bad = {"failed", "not checked"} if self.strict else {"failed"}
        return not any(check.status in bad for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The result for a program to read."""
        checks = [{"name": c.name, "status": c.status, "detail": c.detail} for c in self.checks]
        return {"bundle": self.folder, "ok": self.holds, "checks": checks}


def verify(folder: str | os.PathLike[str], *, strict: bool = False) -> Verification:
    """Check a bundle's hashes, then load and run each of its artifacts in a fresh process.

    Args:
        folder: a bundle.
        strict: whether an artifact whose engine is not installed counts as failed.

    Raises:
        KerasGPTError: it is no bundle, has links to folders or out of it, or its manifest cannot be read.
    """
    root = Path(folder)
    if not (root / artifacts.MANIFEST).is_file():
        raise KerasGPTError(f"{root}: no {artifacts.MANIFEST}: not a bundle; make one with 'kerasgpt export'")
    artifacts.folder_kind(root)  # refuses links that lead out of it
    for path in root.rglob("*"):
        if path.is_symlink() and path.is_dir():
            raise KerasGPTError(f"{path}: is a link to a folder, which no bundle has; remove it")
    manifest = Manifest.read(root)
    checks = [*_hash_checks(root, manifest), *_prompt_checks(root), *_parity_checks(root, manifest)]
    return Verification(str(root), checks, strict)


def _hash_checks(root: Path, manifest: Manifest) -> list[Check]:
    damage = manifest.damaged_files(root)
    checks = [
        Check(name, "failed", f"the file is {how}; export the model again") for name, how in damage.items()
    ]
    intact = len(manifest.files) - len(damage)
    checks.append(Check(artifacts.MANIFEST, "ok", f"{intact} of {len(manifest.files)} files intact"))
    there = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    strangers = sorted(there - manifest.files.keys() - {artifacts.MANIFEST})
    return checks + [Check(name, "not checked", "the manifest does not name it") for name in strangers]


def _prompt_checks(root: Path) -> list[Check]:
    """Of a soft prompt, whether the model can read it."""
    if not (root / artifacts.SOFT_PROMPT).exists():
        return []
    config: Any = artifacts.read_config(root)
    try:
        prompt = read_soft_prompt(root / artifacts.SOFT_PROMPT)
        size = len(fitting_prompt(prompt, config.hidden_dim, config.max_sequence_length))
    except KerasGPTError as error:
        return [Check(artifacts.SOFT_PROMPT, "failed", str(error))]
    return [Check(artifacts.SOFT_PROMPT, "ok", f"{counted(size, 'vector')} before every text")]


def _parity_checks(root: Path, manifest: Manifest) -> list[Check]:
    # What lies there is proved whether or not the manifest owns up to it.
    there = [name for name, path in artifacts.FORMATS.items() if (root / path).exists()]
    weights = ["keras"] if (root / artifacts.WEIGHTS).is_file() else []
    there += [name for name, (path, _) in artifacts.VARIANTS.items() if (root / path).exists()]
    there += [name for name, path in artifacts.SAVED_MODELS.items() if (root / path).exists()]
    return [_parity_check(root, name) for name in dict.fromkeys([*weights, *manifest.formats, *there])]


def _parity_check(root: Path, engine: str) -> Check:
    name = str(artifact_path(root, engine).relative_to(root))
    if engine not in ENGINE_NEEDS:
        return Check(name, "failed", f"the manifest names '{engine}', a format this version does not know")
    needed = [ENGINE_NEEDS[engine]] + ([child_backend()] if engine == "keras" else [])
    for module in needed:
        if importlib.util.find_spec(module) is None:
            return Check(name, "not checked", f"{module} is not installed")
    try:
        proof = prove(root, engine)
    except KerasGPTError as error:
        return Check(name, "failed", str(error))
    return Check(name, "ok" if proof.parity.holds else "failed", proof.sentence)
