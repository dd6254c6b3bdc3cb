"""Manifest: what a bundle holds and where it came from, with a hash of each file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from kerasgpt.artifacts import (
    BUNDLE_FORMAT,
    MANIFEST,
    OWN_CLIENTS,
    lies_in,
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
                _words(values, "files", dict),
                _words(values, "formats", list),
                _field(values, "provenance", dict),
                _words({"precisions": ["fp32"], **values}, "precisions", list),
                _field(values, "version", str),
                _field({"model_type": "gpt2", **values}, "model_type", str),
            )
            root = Path(folder)
            outside = [name for name in manifest.files if not lies_in(root, root / name)]
        except (OSError, ValueError) as error:  # of a name too, which no file can have
            raise KerasGPTError(f"{path}: damaged manifest ({error}); export the model again") from error
        if outside:
            raise KerasGPTError(f"{path}: names '{outside[0]}', a file outside the bundle; refused")
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
        """Files that are not as they were: path -> ``"missing"``, ``"altered"`` or ``"unreadable"``."""
        root = Path(folder)
        damage = {}
        for name, expected in self.files.items():
            try:
                if not (root / name).is_file():
                    damage[name] = "missing"
                elif sha256_of(root / name) != expected:
                    damage[name] = "altered"
            except (OSError, ValueError):  # a name may be longer than any that the system looks up
                damage[name] = "unreadable"
        return damage


def _field(values: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """A field of the file, which must be there and of its kind."""
    if name not in values:
        raise ValueError(f"it has no '{name}'")
    if not isinstance(values[name], kind):
        raise ValueError(f"its '{name}' is a JSON {type(values[name]).__name__}, not a {kind.__name__}")
    return values[name]


def _words(values: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """A field that holds strings alone."""
    found = _field(values, name, kind)
    for word in found.values() if isinstance(found, dict) else found:
        if not isinstance(word, str):
            raise ValueError(f"its '{name}' holds {json.dumps(word)[:60]}, which is no string")
    return found
