"""Manifest: what a bundle holds and where it came from, with a hash of each file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from kerasgpt.artifacts import (
    BUNDLE_FORMAT,
    MANIFEST,
    OWN_CLIENTS,
    require_known_format,
    sha256_of,
    write_json,
)
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError
from kerasgpt.version import __version__


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds: ``kerasgpt.json``.

    Attributes:
        files: path relative to the bundle -> sha256, of every file but the manifest itself.
        formats: the export formats that are there.
        provenance: where the weights came from, and the versions that made the bundle.
        precisions: of the exported files, in the order they were asked for.
        model_type: of the model, see `kerasgpt.architectures`.
    """

    files: dict[str, str]
    formats: list[str]
    provenance: dict[str, Any] = field(default_factory=dict)
    precisions: list[str] = field(default_factory=lambda: ["fp32"])
    version: str = __version__
    model_type: str = "gpt2"

    @classmethod
    def of_folder(
        cls,
        folder: str | os.PathLike[str],
        formats: list[str],
        provenance: dict[str, Any],
        precisions: Sequence[str] = ("fp32",),
        model_type: str = "gpt2",
    ) -> Self:
        """Hash every file under a folder."""
        root = Path(folder)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        hashes = {path.relative_to(root).as_posix(): sha256_of(path) for path in files}
        hashes.pop(MANIFEST, None)
        return cls(hashes, formats, provenance, list(precisions), model_type=model_type)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a bundle's manifest.

        Raises:
            KerasGPTError: it is missing or damaged, of a newer format, or names files outside the bundle.
        """
        path = Path(folder) / MANIFEST
        values = read_json(path)
        require_known_format(path, values)
        try:
            manifest = cls(
                dict(values["files"]),
                list(values["formats"]),
                dict(values["provenance"]),
                list(values.get("precisions", ["fp32"])),
                values["version"],
                values.get("model_type", "gpt2"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise KerasGPTError(f"{path}: damaged manifest ({error}); export the model again") from error
        root = Path(folder).resolve()
        for name in manifest.files:
            if not (root / name).resolve().is_relative_to(root):
                raise KerasGPTError(f"{path}: names '{name}', a file outside the bundle; refused")
        return manifest

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write it as the bundle's ``kerasgpt.json``."""
        values = {
            "format": "kerasgpt-bundle",
            "format_version": BUNDLE_FORMAT,
            "version": self.version,
            "formats": self.formats,
            "precisions": self.precisions,
            "model_type": self.model_type,
            **({} if self.model_type == "gpt2" else {"clients": OWN_CLIENTS}),
            "provenance": self.provenance,
            "files": self.files,
        }
        write_json(Path(folder) / MANIFEST, values)

    def damaged_files(self, folder: str | os.PathLike[str]) -> dict[str, str]:
        """Files that are missing or whose hash differs: path -> ``"missing"`` or ``"altered"``."""
        root = Path(folder)
        damage = {}
        for name, expected in self.files.items():
            if not (root / name).is_file():
                damage[name] = "missing"
            elif sha256_of(root / name) != expected:
                damage[name] = "altered"
        return damage
