"""What a run is computed with, as a checkpoint records it: what changes there changes the numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import keras
import numpy as np

from kerasgpt.data.splits import Part
from kerasgpt.errors import UsageError
from kerasgpt.training.devices import Device
from kerasgpt.training.material import Material

DATA, VALIDATION, DEVICES = "data", "validation data", "devices"
_REFUSED = {
    DATA: "the data is another",
    VALIDATION: "the validation data is another",
    DEVICES: "the devices are others",
}
"""What may not change unforced, and how that is said."""
_NUM_SAMPLES, _SAMPLE_TOKENS = 1024, 64  # places and the ids at each, all that older versions hashed


def environment(device: Device, corpus: Material, devices: str = "") -> dict[str, str]:
    """Describe backend, device, versions and data.

    Args:
        device: that computes.
        corpus: that is trained on.
        devices: how the work is divided among several; empty where it is not.
    """
    backend = keras.backend.backend()
    return {
        **({DEVICES: devices} if devices else {}),
        "backend": backend,
        "device": f"{device.kind}: {device.name}",
        "keras": keras.__version__,
        backend: _version(backend),
        DATA: _fingerprint(corpus, "train"),
        VALIDATION: _fingerprint(corpus, "validation"),
    }


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """What differs, each as ``name: before -> now``."""
    names = dict.fromkeys([*before, *now])
    return [
        f"{name}: {before.get(name, 'none')} -> {now.get(name, 'none')}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # TensorFlow under another name, such as tensorflow-cpu
        return "unknown"


def changed_facts(
    before: dict[str, str], now: dict[str, str], run: Path, say: Callable[[str], None], *, force: bool
) -> set[str]:
    """Tell what is no longer as it was at a checkpoint.

    Args:
        before: the environment at the checkpoint; empty where there was none.
        now: the environment of this process.
        run: folder of the run.
        say: tells of each.
        force: whether other data or devices are taken too.

    Returns:
        The names of what has changed.

    Raises:
        UsageError: data or devices are others, and that is not forced.
    """
    # Checkpoints of older versions have the first part of a fingerprint, and no more is known of their data.
    parts = {fact: now[fact] for fact in (DATA, VALIDATION) if now[fact].startswith(f"{before.get(fact)}, ")}
    known = {**before, **parts}
    # Still older ones know nothing of the validation data: it changes where the other part does.
    is_same = known.get(DATA) == now[DATA]
    known.setdefault(VALIDATION, now[VALIDATION] if is_same else "unknown")
    changed = changes(known, now) if before else []
    is_older = known.get(DATA, "").count(",") == 1
    note = (
        "; an older version began it, which told documents apart by their last line ends" if is_older else ""
    )
    for line in changed:
        for fact, words in _REFUSED.items():
            if line.startswith(f"{fact}:") and not force:
                raise UsageError(
                    f"{run}: {words} than this run was begun with ({line}): bring it back, add --force to go"
                    f" on with it, or choose another --out{note if fact in (DATA, VALIDATION) else ''}"
                )
        say(f"since the checkpoint this has changed, and with it the last bits of all numbers: {line}")
    return {line.partition(":")[0] for line in changed}


def _fingerprint(corpus: Material, part: Part) -> str:
    """How many ids a part of the data has, a hash of some places, and one of all that is read of it.

    Nothing is read for the last: packing has hashed every id, and examples are in memory.
    """
    ids = corpus.ids(part)
    hashed = hashlib.sha256()
    for start in np.linspace(0, max(len(ids) - _SAMPLE_TOKENS, 0), _NUM_SAMPLES, dtype=np.int64):
        hashed.update(np.ascontiguousarray(ids[int(start) : int(start) + _SAMPLE_TOKENS]).tobytes())
    return f"{len(ids)} tokens, {hashed.hexdigest()[:12]}, {corpus.digest(part)[:12]}"
