"""How fast a run is, and how much of what its device can do: tokens a second, and their arithmetic (MFU)."""

from __future__ import annotations

import re
import time

import numpy as np
from keras import ops

from kerasgpt.architectures import AnyConfig
from kerasgpt.recurrent_config import RecurrentConfig
from kerasgpt.training.devices import Device
from kerasgpt.training.settings import TrainConfig

# Dense products at their best, by the makers' data sheets, in teraflops: half precision, float32.
PEAKS = {
    "GH200": (989.0, 495.0),
    "H200 NVL": (835.0, 417.5),
    "H200": (989.0, 495.0),
    "H100 NVL": (835.0, 417.5),
    "H100 PCIe": (756.0, 378.0),
    "H100": (989.0, 495.0),
    "A100": (312.0, 156.0),
    "L40S": (362.0, 183.0),
    "L40": (181.0, 90.5),
    "L4": (121.0, 60.0),
    "A10": (125.0, 62.5),
    "A10G": (70.0, 35.0),
    "V100": (125.0, 15.7),
    "T4": (65.0, 8.1),
    "RTX 4090": (165.2, 82.6),
    "RTX 3090": (71.0, 35.6),
}


def flops_per_token(config: AnyConfig, sequence_length: int) -> float:
    """Arithmetic of a training step for each token: 6 N + 12 L D T (Chowdhery et al. 2022, appendix B).

    N counts the weights of matrix products: all but the positions; a tied head's table is one. A recurrent
    model has no second part.

    Args:
        config: of the model.
        sequence_length: T.

    >>> from kerasgpt.config import GPT2Config
    >>> round(flops_per_token(GPT2Config.from_preset("gpt2"), 1024) / 1e9, 3)
    0.855
    """
    if isinstance(config, RecurrentConfig):
        return 6.0 * (config.num_inner_parameters + config.vocabulary_size * config.embedding_width)
    weights = config.num_parameters - config.max_sequence_length * config.hidden_dim
    if not config.tie_word_embeddings:  # the table is looked up only
        weights -= config.vocabulary_size * config.hidden_dim
    return 6.0 * weights + 12.0 * config.num_layers * config.hidden_dim * sequence_length


def peak_teraflops(settings: TrainConfig, device: Device) -> float:
    """What the device can do at its best; 0 where that is not known.

    Args:
        settings: which may say it, and which say the precision.
        device: a GPU is looked up by its name, a CPU measured, in float32.
    """
    if settings.peak_teraflops:
        return settings.peak_teraflops
    if device.kind == "cpu":
        return measured_teraflops()
    for name, (half, full) in PEAKS.items():
        if re.search(rf"\b{name}\b(?! (Ti|D|Laptop)\b)", device.name):  # those are others
            return full if settings.precision == "float32" else half
    return 0.0


def measured_teraflops(size: int = 1024, seconds: float = 0.5) -> float:
    """The best of the products of square matrices in float32 that the backend does in so many seconds."""
    matrix = ops.ones((size, size), "float32")
    best, end = float("inf"), time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or best == float("inf"):
        np.asarray(ops.matmul(matrix, matrix))
        best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best / 1e12


class Speedometer:
    """Tokens per second between two readings, and the part of the device's peak that is.

    Args:
        flops_per_token: of a training step.
        peak: of the device, in teraflops; 0 if not known.
    """

    def __init__(self, flops_per_token: float, peak: float) -> None:
        self.flops_per_token = flops_per_token
        self.peak = peak

    def read(self, tokens: int, seconds: float) -> dict[str, float]:
        """Speed over so many tokens and seconds; ``mfu`` in [0, 1] where the peak is known."""
        speed = tokens / max(seconds, 1e-9)
        facts = {"tokens_per_second": round(speed, 1)}
        if self.peak:
            facts["mfu"] = round(speed * self.flops_per_token / (self.peak * 1e12), 4)
        return facts
