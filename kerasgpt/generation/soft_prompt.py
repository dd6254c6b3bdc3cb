"""A soft prompt: trained vectors that an engine reads before every text, and their file in PEFT's form."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load_file, save_file

from kerasgpt import artifacts
from kerasgpt.atomic import atomic_file
from kerasgpt.config import read_json
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.protocols import EmbeddingStepModel, Ids, LanguageModel, Logits, Vectors

PEFT_TYPE = "PROMPT_TUNING"
VECTORS = "prompt_embeddings"  # the one tensor of the file


class SoftPromptStepModel:
    """An engine behind a soft prompt (Lester et al. 2021, arXiv:2104.08691); a StepModel like any other.

    The prompt takes the first k positions of every text, which so has k tokens less of the context.

    Args:
        model: an engine that reads vectors too.
        prompt: float32 (k, D).

    Raises:
        UsageError: the prompt has another width than the model, or fills its context.
    """

    def __init__(self, model: EmbeddingStepModel, prompt: Vectors) -> None:
        self._model = model
        self.prompt = fitting_prompt(prompt, model.hidden_dim, model.max_sequence_length)
        self.vocabulary_size = model.vocabulary_size
        self.max_sequence_length = model.max_sequence_length - len(prompt)

    def prefill(self, ids: Ids, lengths: Ids) -> tuple[Any, Logits]:
        """Read the soft prompt and then prompts (B, T) -> the state and the next logits (B, V)."""
        return self._model.prefill(*self._prompted(ids, lengths))

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits after every token, (B, T, V)."""
        return self._model.all_logits(*self._prompted(ids, lengths))[:, len(self.prompt) :]

    def step(self, state: Any, ids: Ids) -> tuple[Any, Logits]:
        """Read one token a row."""
        return self._model.step(state, ids)

    def reorder(self, state: Any, indices: Ids) -> Any:
        """Keep the rows `indices`."""
        return self._model.reorder(state, indices)

    def join(self, states: Sequence[Any]) -> Any:
        """Lay rows one after another."""
        return self._model.join(states)

    def _prompted(self, ids: Ids, lengths: Ids) -> tuple[Any, Ids]:
        before = np.broadcast_to(self.prompt, (len(ids), *self.prompt.shape))
        return np.concatenate([before, self._model.embed(ids)], axis=1), lengths + len(self.prompt)


def fitting_prompt(prompt: Vectors, hidden_dim: int, max_sequence_length: int) -> Vectors:
    """A soft prompt as float32 (k, D), if a model can read it.

    Args:
        prompt: (k, D).
        hidden_dim: D of the model.
        max_sequence_length: its context.

    Raises:
        UsageError: the prompt has another width than the model, is empty or fills its context, or a number in
            it is not finite.
    """
    found = np.asarray(prompt, np.float32)
    if found.ndim != 2 or found.shape[1] != hidden_dim:
        raise UsageError(
            f"a soft prompt of shape {found.shape}: the model's vectors are {hidden_dim} wide;"
            " give one that was trained with this model"
        )
    if not 1 <= len(found) < max_sequence_length:
        raise UsageError(
            f"a soft prompt of {len(found)} vectors in a context of {max_sequence_length}: give at least one,"
            " and leave room for a text"
        )
    if not np.isfinite(found).all():
        raise UsageError("a soft prompt holds what is no finite number: train it again")
    return found


def with_soft_prompt(lm: LanguageModel, prompt: Vectors) -> StepLanguageModel:
    """Put a soft prompt before every text of a language model.

    Args:
        lm: on Keras, or of ``onnx/model_inputs_embeds.onnx``.
        prompt: float32 (k, D).

    Raises:
        UsageError: its engine reads no vectors, or the prompt does not fit.
    """
    if not isinstance(lm, StepLanguageModel) or not isinstance(lm.model, EmbeddingStepModel):
        raise UsageError(
            "a soft prompt needs an engine that reads vectors: Keras, or ONNX exported with --inputs-embeds"
        )
    return StepLanguageModel(SoftPromptStepModel(lm.model, prompt), lm.tokenizer, lm.settings)


def save_soft_prompt(
    prompt: Vectors, folder: str | os.PathLike[str], base: str, config: dict[str, Any]
) -> None:
    """Write a soft prompt as `peft.PeftModel.from_pretrained` reads it.

    Args:
        prompt: float32 (k, D).
        folder: adapter_config.json and adapter_model.safetensors go there, in place of those that were.
        base: folder of the model it is for.
        config: sizes of that model, by PEFT's names.

    Raises:
        KerasGPTError: the folder cannot be written.
    """
    words = {
        "peft_type": PEFT_TYPE,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "num_virtual_tokens": len(prompt),
        "token_dim": prompt.shape[1],
        "num_transformer_submodules": 1,
        **config,
        "prompt_tuning_init": "SAMPLE_VOCAB",
        "modules_to_save": None,
        "inference_mode": True,
    }
    with atomic_file(Path(folder) / artifacts.ADAPTER_WEIGHTS) as temporary:
        save_file({VECTORS: np.ascontiguousarray(prompt, np.float32)}, temporary, metadata={"format": "pt"})
    artifacts.write_json(Path(folder) / artifacts.ADAPTER_CONFIG, words)


def is_soft_prompt(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds one, and no other kind of adapter or nothing."""
    path = Path(folder) / artifacts.ADAPTER_CONFIG
    return path.is_file() and read_json(path).get("peft_type") == PEFT_TYPE


def read_soft_prompt(folder: str | os.PathLike[str]) -> Vectors:
    """Read what `save_soft_prompt` or PEFT wrote: float32 (k, D).

    Raises:
        KerasGPTError: the folder holds no soft prompt, or its file is damaged.
    """
    root = Path(folder)
    if not is_soft_prompt(root):
        raise KerasGPTError(
            f"{root}: holds no soft prompt: give a folder whose {artifacts.ADAPTER_CONFIG} says {PEFT_TYPE}"
        )
    path = root / artifacts.ADAPTER_WEIGHTS
    try:
        prompt = _vectors(path)
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise KerasGPTError(
            f"{path}: cannot read {VECTORS} ({error}); train the soft prompt again"
        ) from error
    if prompt.ndim != 2 or not np.isfinite(prompt).all():
        raise KerasGPTError(f"{path}: {VECTORS} of shape {prompt.shape} are no finite vectors (k, D)")
    return prompt


def _vectors(path: Path) -> Vectors:
    """The file's vectors; numpy knows no bfloat16, which is the upper half of a float32."""
    arrays = dict(deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]
    found = arrays[VECTORS]
    if found["dtype"] == "BF16":
        halves = np.frombuffer(found["data"], "<u2").astype(np.uint32) << np.uint32(16)
        return halves.view(np.float32).reshape(found["shape"])
    vectors: Vectors = load_file(path)[VECTORS].astype(np.float32)
    return vectors
