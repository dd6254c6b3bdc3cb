"""LoRA: small adapters beside frozen matrices; saved apart in PEFT's form, merged where weights are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from kerasgpt.artifacts import ADAPTER_CONFIG, ADAPTER_WEIGHTS, write_json
from kerasgpt.atomic import atomic_file
from kerasgpt.errors import UsageError
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.training.settings import LoraConfig


def add_adapters(model: GPT2CausalLM, settings: LoraConfig) -> None:
    """Freeze a built model and give its matrices adapters, W + (alpha / r) A B.

    After Hu et al. 2021, arXiv:2106.09685: A begins at random and B as zeros, so that the model answers as
    before. Biases, norms and embeddings are frozen too.

    Args:
        model: with the weights to start from; what is frozen already stays as it is.
        settings: rank 0 changes nothing.

    Raises:
        UsageError: all matrices that are to get one are frozen.
    """
    if not settings.rank:
        return
    layers = [layer for _, layer in _targeted(model, settings) if layer.kernel.trainable]
    if not layers:
        raise UsageError("lora.targets are all frozen (train.freeze): leave one of them to be trained")
    for variable in model.trainable_variables:
        variable.trainable = False
    for layer in layers:
        layer.enable_lora(settings.rank, lora_alpha=settings.alpha)


def _adapted(model: GPT2CausalLM, settings: LoraConfig) -> Iterator[tuple[str, Any]]:
    """Hugging Face's name of each layer that has an adapter, and the layer."""
    return ((name, layer) for name, layer in _targeted(model, settings) if layer.lora_enabled)


def _targeted(model: GPT2CausalLM, settings: LoraConfig) -> Iterator[tuple[str, Any]]:
    """The same of each that the settings name."""
    for index, block in enumerate(model.backbone.blocks):
        layers = {
            "attn.c_attn": block.attention.qkv,
            "attn.c_proj": block.attention.output_projection,
            "mlp.c_fc": block.feed_forward.expand,
            "mlp.c_proj": block.feed_forward.contract,
        }
        for name, layer in layers.items():
            if any(f".{name}".endswith(f".{target}") for target in settings.targets):
                yield f"transformer.h.{index}.{name}", layer


def adapter_arrays(model: GPT2CausalLM, settings: LoraConfig) -> dict[str, NDArray[np.float32]]:
    """The adapters by PEFT's names: A as (r, in), B as (out, r)."""
    arrays = {}
    for name, layer in _adapted(model, settings):
        arrays[f"base_model.model.{name}.lora_A.weight"] = np.asarray(layer.lora_kernel_a.numpy()).T
        arrays[f"base_model.model.{name}.lora_B.weight"] = np.asarray(layer.lora_kernel_b.numpy()).T
    return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}


def save_adapters(model: GPT2CausalLM, settings: LoraConfig, folder: Path, base: str) -> None:
    """Write the adapters alone, as `peft.PeftModel.from_pretrained` reads them.

    Args:
        model: with adapters.
        settings: they were made by.
        folder: adapter_config.json and adapter_model.safetensors go there, in place of those that were.
        base: folder of the model they are for.

    Raises:
        KerasGPTError: the folder cannot be written.
    """
    with atomic_file(folder / ADAPTER_WEIGHTS) as temporary:
        save_file(adapter_arrays(model, settings), temporary, metadata={"format": "pt"})
    write_json(folder / ADAPTER_CONFIG, _peft_config(settings, base))


def _peft_config(settings: LoraConfig, base: str) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "target_modules": list(settings.targets),
        "fan_in_fan_out": True,  # GPT-2's matrices are (in, out)
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "modules_to_save": None,
        "inference_mode": True,
    }
