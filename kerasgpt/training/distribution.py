"""What lies on which device: the rows of a batch, the weights whole or in parts; and what is refused."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from kerasgpt.architectures import AnyConfig
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.training.processes import are_named, num_processes
from kerasgpt.training.settings import TrainConfig

BATCH, MODEL = "batch", "model"  # the axes of the mesh of devices

JAX_ROUTE = "train on JAX instead, with KERAS_BACKEND=jax and train.distribution 'data' or 'model'"
"""What a refusal names: the engine of many devices and many machines."""


def require_engine(settings: TrainConfig) -> None:
    """Refuse a division of the work that the backend cannot do, or would silently not do.

    Raises:
        UsageError: how it can be done is in the sentence.
    """
    backend, kind = keras.backend.backend(), settings.distribution
    if settings.model_parallel > 1 and kind != "model":
        raise UsageError(
            f"train.model_parallel is {settings.model_parallel} and train.distribution '{kind}': weights are"
            " divided only with 'model'"
        )
    if backend == "jax":
        _refuse_on_jax(kind)
    elif kind in ("data", "model") or are_named() > 1 or keras.distribution.distribution() is not None:
        what = f"train.distribution '{kind}'" if kind in ("data", "model") else "keras.distribution"
        what = f"training in {are_named()} processes" if are_named() > 1 else what
        raise UsageError(f"{what} does not work on {backend}: {JAX_ROUTE}")
    elif kind == "mirrored" and backend != "tensorflow":
        raise UsageError(f"train.distribution 'mirrored' is TensorFlow's, and this is {backend}: {JAX_ROUTE}")
    if backend == "tensorflow":
        _refuse_on_tensorflow(settings)


def _refuse_on_jax(kind: str) -> None:
    if kind == "mirrored":
        raise UsageError(
            "train.distribution 'mirrored' is TensorFlow's: on JAX set 'data', which does as much"
        )
    if kind == "none" and are_named() > 1:
        raise UsageError(
            f"there are {are_named()} processes and train.distribution is 'none': set it to 'data' or 'model'"
        )


def _refuse_on_tensorflow(settings: TrainConfig) -> None:
    workers = _workers()
    if workers > 1:
        raise UsageError(
            f"TF_CONFIG names {workers} workers, and Keras's fit fails under MultiWorkerMirroredStrategy:"
            f" {JAX_ROUTE}"
        )
    if _tensorflow().distribute.has_strategy():
        name = type(_tensorflow().distribute.get_strategy()).__name__
        raise UsageError(
            f"this is the scope of a {name}: leave it and set train.distribution 'mirrored', for several"
            f" GPUs of one machine, or {JAX_ROUTE}"
        )
    if settings.distribution != "mirrored":
        return
    if settings.accumulation_steps > 1:
        raise UsageError(
            f"train.accumulation_steps {settings.accumulation_steps} does not work with train.distribution"
            f" 'mirrored': set it to 1, or {JAX_ROUTE}"
        )
    if settings.jit_compile is True:
        raise UsageError(
            "train.jit_compile true does not work with train.distribution 'mirrored': set it to false, or"
            f" {JAX_ROUTE}"
        )
    for name, value, other in (
        ("spike_policy", settings.spike_policy, "none"),
        ("precision", settings.precision, "mixed_bfloat16"),
    ):
        if value in ("skip", "rollback", "mixed_float16"):  # each looks at all replicas' gradients at once
            raise UsageError(
                f"train.{name} '{value}' is not offered with train.distribution 'mirrored': set it to"
                f" '{other}', or {JAX_ROUTE}"
            )


def _workers() -> int:
    """How many workers TF_CONFIG names."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
        return sum(len(cluster.get(job, ())) for job in ("chief", "worker"))
    except (ValueError, AttributeError, TypeError):
        return 0


@contextmanager
def distributed(settings: TrainConfig, config: AnyConfig) -> Iterator[int]:
    """Let what is made and trained within lie on the devices that the settings ask for.

    Args:
        settings: of a recipe that `require_engine` lets pass.
        config: of the model.

    Yields:
        How many devices there are, over all processes.

    Raises:
        UsageError: batch, heads or widths cannot be divided by so many.
    """
    if settings.distribution == "none":
        yield 1
    elif settings.distribution == "mirrored":
        strategy = _mirrored(settings)
        with strategy.scope():
            yield strategy.num_replicas_in_sync
    else:
        distribution = _on_jax(settings, config)
        with distribution.scope():
            yield distribution.device_mesh.devices.size


def _mirrored(settings: TrainConfig) -> Any:
    """All GPUs, or where there are none all of the CPU's logical devices, each with all weights."""
    tensorflow = _tensorflow()
    devices = tensorflow.config.list_logical_devices("GPU") or tensorflow.config.list_logical_devices("CPU")
    _require_rows(settings.batch_size, len(devices))
    return tensorflow.distribute.MirroredStrategy([device.name for device in devices])


def _on_jax(settings: TrainConfig, config: AnyConfig) -> Any:
    devices, parts = keras.distribution.list_devices(), settings.model_parallel
    if len(devices) % parts:
        raise UsageError(
            f"train.model_parallel is {parts} and there are {len(devices)} devices: take a divisor of that"
        )
    _require_rows(settings.batch_size, len(devices) // parts)
    if settings.distribution == "data":
        return keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    if not isinstance(config, GPT2Config):
        raise UsageError(
            'train.distribution is "model": the weights of a recurrent model are not divided; take "data"'
        )
    mesh = keras.distribution.DeviceMesh((len(devices) // parts, parts), [BATCH, MODEL], devices)
    layouts = keras.distribution.LayoutMap(mesh)
    for path, axes in layouts_of(config, parts).items():
        layouts[path] = axes
    return keras.distribution.ModelParallel(
        layout_map=layouts, batch_dim_name=BATCH, auto_shard_dataset=False
    )


def _require_rows(batch_size: int, num_replicas: int) -> None:
    if batch_size % num_replicas:
        raise UsageError(
            f"train.batch_size is {batch_size} and {num_replicas} devices share it: make it a multiple of"
            f" {num_replicas}"
        )


def layouts_of(config: GPT2Config, parts: int) -> dict[str, tuple[str | None, ...]]:
    """Which axis of which weights is divided, after Shoeybi et al. 2019 (Megatron-LM, arXiv:1909.08053).

    What widens, queries, keys and values and the way into the feed-forward, is divided by its output, what
    follows by its input; the table of tokens by vocabulary, or by width where the vocabulary cannot be
    divided evenly. Biases of what is divided by its input, norms and positions lie whole on every device.

    Args:
        config: of the model.
        parts: devices that share one copy.

    Returns:
        Pattern of a variable's path -> for each axis ``"model"`` or None.

    Raises:
        UsageError: heads or feed-forward cannot be divided by so many.
    """
    for name, size in (("num_heads", config.num_heads), ("intermediate_dim", config.feed_forward_dim)):
        if size % parts:
            raise UsageError(
                f"train.model_parallel is {parts} and model.{name} {size}: take a divisor of that"
            )
    by_vocabulary = config.vocabulary_size % parts == 0
    table = (MODEL, None) if by_vocabulary else (None, MODEL)
    return {
        ".*/attention/qkv/kernel": (None, MODEL),
        ".*/attention/qkv/bias": (MODEL,),
        ".*/attention/output/kernel": (MODEL, None),
        ".*/feed_forward/expand/kernel": (None, MODEL),
        ".*/feed_forward/expand/bias": (MODEL,),
        ".*/feed_forward/contract/kernel": (MODEL, None),
        ".*/token_embedding/embeddings": table,
        ".*/token_embedding/reverse_embeddings": table[::-1],
    }


def own_rows(batch_size: int) -> tuple[int, int] | None:
    """The rows of each batch that this process reads, the first and the one after the last; None means all.

    Those that its devices hold: processes whose devices share one copy of the weights read the same.
    """
    if num_processes() == 1:
        return None
    layout = keras.distribution.distribution().get_data_layout((batch_size, 1)).backend_layout
    slices = [place[0] for place in layout.addressable_devices_indices_map((batch_size, 1)).values()]
    first = min(rows.start or 0 for rows in slices)
    return first, max(batch_size if rows.stop is None else rows.stop for rows in slices)


def described(settings: TrainConfig, num_devices: int) -> str:
    """The division in words; empty where there is none."""
    if settings.distribution == "none":
        return ""
    parts = f", weights in {settings.model_parallel} parts" if settings.distribution == "model" else ""
    processes = f" in {num_processes()} processes" if num_processes() > 1 else ""
    return f"{num_devices} devices{processes}{parts}"


def _tensorflow() -> Any:
    return importlib.import_module("tensorflow")  # the backend: Keras has loaded it
