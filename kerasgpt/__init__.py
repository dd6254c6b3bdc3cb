"""GPT-2 in Keras 3: fit it, export one verified folder, get text out everywhere.

Public names are imported on first use, so that ``import kerasgpt`` costs nothing and the light half
(tokenizer, generation, ONNX runtime) never loads TensorFlow or Keras.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kerasgpt.version import __version__ as __version__

if TYPE_CHECKING:
    from kerasgpt.config import GPT2Config as GPT2Config
    from kerasgpt.data.example_corpus import example_dataset as example_dataset
    from kerasgpt.data.pipeline import dataset as dataset
    from kerasgpt.engines import load as load
    from kerasgpt.errors import KerasGPTError as KerasGPTError
    from kerasgpt.export.pipeline import export_bundle as export_bundle
    from kerasgpt.generation_config import GenerationConfig as GenerationConfig
    from kerasgpt.layers.attention import MultiHeadAttention as MultiHeadAttention
    from kerasgpt.layers.block import TransformerBlock as TransformerBlock
    from kerasgpt.layers.cache import KVCache as KVCache
    from kerasgpt.layers.embedding import TokenAndPositionEmbedding as TokenAndPositionEmbedding
    from kerasgpt.layers.feed_forward import FeedForward as FeedForward
    from kerasgpt.models.gpt2 import GPT2 as GPT2
    from kerasgpt.models.gpt2 import GPT2CausalLM as GPT2CausalLM
    from kerasgpt.models.recurrent import GRUCausalLM as GRUCausalLM
    from kerasgpt.models.recurrent import LSTMCausalLM as LSTMCausalLM
    from kerasgpt.protocols import Generation as Generation
    from kerasgpt.protocols import LanguageModel as LanguageModel
    from kerasgpt.protocols import Score as Score
    from kerasgpt.recurrent_config import RecurrentConfig as RecurrentConfig
    from kerasgpt.runtime.batching import ContinuousBatching as ContinuousBatching
    from kerasgpt.tokenizer.bpe import Tokenizer as Tokenizer
    from kerasgpt.training.config import Recipe as Recipe
    from kerasgpt.training.train import train as train

_PUBLIC = {
    "ContinuousBatching": "runtime.batching",
    "FeedForward": "layers.feed_forward",
    "GPT2": "models.gpt2",
    "GPT2CausalLM": "models.gpt2",
    "GPT2Config": "config",
    "GRUCausalLM": "models.recurrent",
    "Generation": "protocols",
    "GenerationConfig": "generation_config",
    "KVCache": "layers.cache",
    "KerasGPTError": "errors",
    "LSTMCausalLM": "models.recurrent",
    "LanguageModel": "protocols",
    "MultiHeadAttention": "layers.attention",
    "Recipe": "training.config",
    "RecurrentConfig": "recurrent_config",
    "Score": "protocols",
    "TokenAndPositionEmbedding": "layers.embedding",
    "Tokenizer": "tokenizer.bpe",
    "TransformerBlock": "layers.block",
    "dataset": "data.pipeline",
    "example_dataset": "data.example_corpus",
    "export_bundle": "export.pipeline",
    "load": "engines",
    "train": "training.train",
}

_EXTRAS = {"keras": "train", "tensorflow": "train", "jax": "jax"}
"""What a public name may need that is not there, and the extra that brings it."""

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'kerasgpt' has no attribute '{name}'")
    try:
        module = importlib.import_module(f"kerasgpt.{_PUBLIC[name]}")
    except ModuleNotFoundError as error:
        needed = (error.name or "").partition(".")[0]
        if needed not in _EXTRAS:
            raise
        from kerasgpt.extras import missing

        extra = "export" if name == "export_bundle" and needed != "jax" else _EXTRAS[needed]
        raise missing(needed, extra, f"kerasgpt.{name}") from error
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
