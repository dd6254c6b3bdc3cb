"""genai_config.json: how ONNX Runtime GenAI opens the ONNX files of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.runtime.session import EXACT_INTEGERS


def write_genai(config: GPT2Config, settings: GenerationConfig, bundle: Path) -> None:
    """Write genai_config.json, which opens the portable float32 file, and an overlay for each fast one.

    Where there is no portable file it opens the first of the fast ones.

    GenAI reads one configuration a folder, and follows no path out of it. So a fast file is chosen by
    ``genai/<precision>.json``, laid over the folder's own: ``og.Config(bundle).overlay(text)``.

    Args:
        config: of the model.
        settings: of the bundle, which become GenAI's defaults.
        bundle: in the making, its ONNX files written.
    """
    content = genai_config(config, settings)
    fast = {
        precision: name
        for engine, (name, precision) in artifacts.VARIANTS.items()
        if engine.startswith("fast_") and (bundle / name).is_file()
    }
    if fast and not (bundle / artifacts.ONNX_MODEL).is_file():
        for section, values in _overlay(next(iter(fast.values()))).items():
            content[section] = _laid_over(content[section], values)
    artifacts.write_json(bundle / artifacts.GENAI_CONFIG, content)
    for precision, name in fast.items():
        path = bundle / artifacts.GENAI_FOLDER / f"{precision}.json"
        path.parent.mkdir(exist_ok=True)
        artifacts.write_json(path, _overlay(name))


def _overlay(name: str) -> dict[str, Any]:
    """What differs where a fast file is opened."""
    return {
        "model": {"decoder": {"filename": name}},
        "search": {"past_present_share_buffer": True},  # these graphs write the cache in place
    }


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """One setting over another, tables within tables, as GenAI does it."""
    both = {key: _laid_over(below[key], value) for key, value in above.items() if isinstance(value, dict)}
    return {**below, **above, **both}


def genai_config(config: GPT2Config, settings: GenerationConfig) -> dict[str, Any]:
    """What GenAI wants to know of a model and of how its bundle writes."""
    context = config.max_sequence_length
    return {
        "model": {
            # "gpt2" stands for a cache of another form in GenAI; a decoder has one tensor for each key.
            "type": "decoder",
            "bos_token_id": config.bos_token_id,
            "eos_token_id": config.eos_token_id,
            "pad_token_id": config.eos_token_id,
            "vocab_size": config.vocabulary_size,
            "context_length": context,
            "decoder": {
                "filename": artifacts.ONNX_MODEL,
                "session_options": {
                    "log_id": "onnxruntime-genai",
                    "provider_options": [],
                    **dict([EXACT_INTEGERS]),
                },
                "hidden_size": config.hidden_dim,
                "head_size": config.head_dim,
                "num_attention_heads": config.num_heads,
                "num_key_value_heads": config.num_heads,
                "num_hidden_layers": config.num_layers,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "position_ids": "position_ids",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "max_length": context,
            "min_length": settings.min_length,
            "do_sample": not settings.is_greedy,
            "top_k": settings.top_k,
            "top_p": settings.top_p,
            "temperature": settings.temperature or 1.0,
            "repetition_penalty": settings.repetition_penalty,
            "num_beams": 1,
            "num_return_sequences": 1,
            "past_present_share_buffer": False,
        },
    }
