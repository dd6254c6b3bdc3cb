"""Where a run is computed: the device asked for, or a sentence why not; and what it is."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from kerasgpt.errors import KerasGPTError, unknown_name
from kerasgpt.extras import require
from kerasgpt.training.processes import join

DEVICES = ("auto", "cpu", "gpu")


@dataclass(frozen=True)
class Device:
    """What computes.

    Attributes:
        kind: ``"cpu"`` or ``"gpu"`` (anything that is no CPU).
        name: of the model, such as ``"NVIDIA H200"``.
        count: how many there are; a run uses the first unless told otherwise.
    """

    kind: str
    name: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}" + (f" (one of {self.count})" if self.count > 1 else "")


def choose_device(wanted: str = "auto") -> Device:
    """Let Keras compute on a device; memory of a GPU is taken as it is needed and not all at once.

    To be called before anything is computed: a backend looks for devices once.

    Args:
        wanted: ``"auto"`` takes a GPU where there is one.

    Raises:
        UsageError: no such word.
        KerasGPTError: a GPU is wanted and the backend sees none.
    """
    if wanted not in DEVICES:
        raise unknown_name("device", wanted, DEVICES)
    backend = keras.backend.backend()
    names = _GPUS[backend](wanted != "cpu")
    if wanted == "gpu" and not names:
        raise KerasGPTError(
            f"--device gpu: {backend} sees no GPU here; install its driver and {_REMEDIES[backend]},"
            " or train with --device cpu"
        )
    if wanted == "cpu" or not names:
        return Device("cpu", cpu_name())
    return Device("gpu", names[0], len(names))


def is_tensorflow_on_cpu() -> bool:
    """Whether Keras runs on TensorFlow, and that on no GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    return not require("tensorflow", "train", "training").config.get_visible_devices("GPU")


def cpu_name() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _tensorflow_gpus(are_used: bool) -> list[str]:
    tensorflow: Any = require("tensorflow", "train", "training")
    gpus = tensorflow.config.list_physical_devices("GPU")
    if not are_used:
        try:
            tensorflow.config.set_visible_devices([], "GPU")
        except RuntimeError as error:
            raise KerasGPTError(
                "--device cpu: TensorFlow computes on a GPU in this process already; start with"
                " CUDA_VISIBLE_DEVICES=-1 instead"
            ) from error
        return []
    with suppress(RuntimeError):  # it has begun computing, in a process of the user's own: so it stays
        for gpu in gpus:
            tensorflow.config.experimental.set_memory_growth(gpu, True)
    details = [tensorflow.config.experimental.get_device_details(gpu) for gpu in gpus]
    return [str(detail.get("device_name", "GPU")) for detail in details]


def _jax_gpus(are_used: bool) -> list[str]:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax: Any = require("jax", "jax", "training")
    if not are_used:
        jax.config.update("jax_platforms", "cpu")
    join()  # what is seen before stays all that is seen
    return [device.device_kind for device in jax.local_devices() if device.platform != "cpu"]


def _torch_gpus(are_used: bool) -> list[str]:
    torch: Any = require("torch", "", "training")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if not names or os.environ.get("KERAS_TORCH_DEVICE", "").startswith("cpu"):
        return []
    if not are_used:  # Keras has settled that when it was imported
        raise KerasGPTError(
            "--device cpu: on torch, set the environment variable KERAS_TORCH_DEVICE=cpu instead"
        )
    return names


_GPUS: dict[str, Callable[[bool], list[str]]] = {
    "tensorflow": _tensorflow_gpus,
    "jax": _jax_gpus,
    "torch": _torch_gpus,
}
_REMEDIES = {
    "tensorflow": "pip install 'kerasgpt[cuda]'",
    "jax": "pip install 'jax[cuda12]'",
    "torch": "a torch for that GPU",
}


def memory_bytes(device: Device) -> int:
    """The most that this process has held at one time: of a GPU's memory, or of the machine's."""
    used = _GPU_MEMORY[keras.backend.backend()]() if device.kind == "gpu" else 0
    return used or _resident_bytes()


def _resident_bytes() -> int:
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _tensorflow_memory() -> int:
    tensorflow: Any = require("tensorflow", "train", "training")
    return int(tensorflow.config.experimental.get_memory_info("GPU:0")["peak"])


def _jax_memory() -> int:
    statistics = require("jax", "jax", "training").local_devices()[0].memory_stats() or {}
    return int(statistics.get("peak_bytes_in_use", 0))


def _torch_memory() -> int:
    return int(require("torch", "", "training").cuda.max_memory_allocated())


_GPU_MEMORY: dict[str, Callable[[], int]] = {
    "tensorflow": _tensorflow_memory,
    "jax": _jax_memory,
    "torch": _torch_memory,
}
