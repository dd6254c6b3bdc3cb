"""What a run is computed with, as a checkpoint records it: what changes there changes the numbers."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version

import keras
import numpy as np

from kerasgpt.training.devices import Device
from kerasgpt.training.material import Material

DATA, DEVICES = "data", "devices"
_NUM_SAMPLES, _SAMPLE_TOKENS = 1024, 64  # places spread over the data, and the ids at each that are hashed


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
        DATA: _fingerprint(corpus),
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


def _fingerprint(corpus: Material) -> str:
    """Hash ids spread over the data to train on, and how many there are."""
    ids = corpus.ids("train")
    hashed = hashlib.sha256()
    for start in np.linspace(0, max(len(ids) - _SAMPLE_TOKENS, 0), _NUM_SAMPLES, dtype=np.int64):
        hashed.update(np.ascontiguousarray(ids[int(start) : int(start) + _SAMPLE_TOKENS]).tobytes())
    return f"{len(ids)} tokens, {hashed.hexdigest()[:12]}"
