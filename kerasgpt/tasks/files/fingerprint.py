"""What a model folder and data files hold, as hashes: whether they are those of an earlier evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

from kerasgpt.artifacts import MANIFEST, sha256_of
from kerasgpt.errors import KerasGPTError, UsageError

OUTCOMES = ".outcomes.jsonl"
"""What the name of a file of outcomes ends in."""


def fingerprint(folder: str | Path, besides: Collection[str | Path] = ()) -> str:
    """Of a bundle the hash of its manifest, which has those of all its files; else of its files.

    Those of folders in it, such as a soft prompt's, are among them; those of hidden ones, as .git, are not.

    Args:
        folder: of the model.
        besides: files that an evaluation writes, wherever they are; nor do outcomes count.
    """
    root, written = Path(folder), {Path(path).resolve() for path in besides}
    if (root / MANIFEST).is_file():
        return sha256_of(root / MANIFEST)
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        is_hidden = any(part.startswith(".") for part in name.parent.parts)
        is_result = name.name.endswith(OUTCOMES) or path.resolve() in written
        if path.is_file() and not is_hidden and not is_result:
            whole.update(f"{name.as_posix()} {sha256_of(path)}\n".encode())
    return whole.hexdigest()


def fingerprints(paths: Sequence[str | Path]) -> list[str]:
    """Hashes of files.

    Raises:
        UsageError: one is a pipe, which would be empty after it.
        KerasGPTError: one cannot be read.
    """
    found = []
    for path in map(Path, paths):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UsageError(f"{path}: is no file that can be read twice, as --json takes: give a file")
        try:
            found.append(sha256_of(path))
        except OSError as error:
            raise KerasGPTError(f"{path}: cannot read ({error.strerror})") from error
    return found
