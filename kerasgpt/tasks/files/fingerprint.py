"""What a model folder and data files hold, as hashes: whether they are those of an earlier evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from kerasgpt.artifacts import MANIFEST, sha256_of
from kerasgpt.errors import KerasGPTError


def fingerprint(folder: str | Path) -> str:
    """Of a bundle the hash of its manifest, which has those of all its files; else of its files."""
    root = Path(folder)
    if (root / MANIFEST).is_file():
        return sha256_of(root / MANIFEST)
    whole = hashlib.sha256()
    for path in sorted(root.iterdir()):
        if path.is_file():
            whole.update(f"{path.name} {sha256_of(path)}\n".encode())
    return whole.hexdigest()


def fingerprints(paths: Sequence[str | Path]) -> list[str]:
    """Hashes of files.

    Raises:
        KerasGPTError: one cannot be read.
    """
    found = []
    for path in paths:
        try:
            found.append(sha256_of(path))
        except OSError as error:
            raise KerasGPTError(f"{path}: cannot read ({error.strerror})") from error
    return found
