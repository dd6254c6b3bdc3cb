"""SoftPromptCausalLM: a GPT-2 that stays as it is, behind vectors that learn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kerasgpt import artifacts
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.generation.soft_prompt import read_soft_prompt, save_soft_prompt
from kerasgpt.layers.cache import KVCache, Tensor
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.protocols import Vectors


@keras.saving.register_keras_serializable(package="kerasgpt")
class SoftPromptCausalLM(GPT2CausalLM):
    """Prompt tuning (Lester et al. 2021, arXiv:2104.08691): k vectors before every text, all else frozen.

    Args:
        config: of the GPT-2.
        num_tokens: k.
        **kwargs: of `keras.Model`.

    >>> import numpy as np
    >>> model = SoftPromptCausalLM(GPT2Config(16, 8, num_layers=1, num_heads=2, hidden_dim=8), 3)
    >>> tuple(model(np.array([[3, 1, 4]])).shape), len(model.trainable_variables)
    ((1, 3, 16), 1)
    """

    def __init__(self, config: GPT2Config | Mapping[str, Any], num_tokens: int, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        if not 0 < num_tokens < self.config.max_sequence_length:
            raise UsageError(
                f"a soft prompt of {num_tokens} vectors: of this context it may take 1 to"
                f" {self.config.max_sequence_length - 1}"
            )
        self.num_tokens = num_tokens

    def build(self, input_shape: Any = None) -> None:
        """Make all weights that are not made yet; the prompt alone is trainable."""
        if self.built:
            return
        super().build(input_shape)
        for variable in self.trainable_variables:
            variable.trainable = False
        self.soft_prompt = self.add_weight(
            name="soft_prompt",
            shape=(self.num_tokens, self.config.hidden_dim),
            initializer=keras.initializers.RandomNormal(stddev=self.config.initializer_range),
        )

    def start_from_tokens(self, seed: int = 0) -> None:
        """Begin with the vectors of tokens drawn at random, which the model knows how to read."""
        table = self.backbone.embedding.token_embedding.embeddings.numpy()
        rows = np.random.default_rng(seed).integers(len(table), size=self.num_tokens)
        self.soft_prompt.assign(np.asarray(table)[rows])

    @property
    def prompt(self) -> Vectors:
        """The vectors, float32 (k, D)."""
        return np.array(self.soft_prompt.numpy(), np.float32)

    @classmethod
    def from_preset(
        cls,
        source: str | os.PathLike[str] | keras.Model,
        load_weights: bool = True,
        *,
        num_tokens: int | None = None,
        dtype: str | None = None,
        **overrides: Any,
    ) -> Self:
        """Load a GPT-2 and the soft prompt that lies in its folder, or put a new one before it.

        Args:
            source: as in `CausalLM.from_preset`.
            load_weights: whether to read the weights and the prompt, or start from fresh ones.
            num_tokens: k, of a new prompt; None means the one in the folder.
            dtype: as there.
            **overrides: as there.

        Raises:
            UsageError: there is none in the folder, or one for another model; and as there.
            KerasGPTError: the files cannot be read.
        """
        base = GPT2CausalLM.from_preset(source, load_weights, dtype=dtype, **overrides)
        prompt: Vectors | None = None
        if num_tokens is None:
            folder = soft_prompt_in(source)
            if folder is None:
                raise UsageError(
                    f"{source}: holds no {artifacts.SOFT_PROMPT}; give a folder that does, or num_tokens of a"
                    " new one"
                )
            prompt = fitting_prompt_of(folder, base.config)
            num_tokens = len(prompt)
        model = cls(base.config, num_tokens, dtype=dtype)
        model.build()
        model.backbone.set_weights(base.backbone.get_weights())
        if prompt is not None and load_weights:
            model.soft_prompt.assign(prompt)
        return model

    def save_to_preset(self, folder: str | os.PathLike[str]) -> None:
        """Write the GPT-2 as a model folder, and the prompt into ``soft_prompt/`` in it."""
        self._write(folder)
        self.save_soft_prompt(Path(folder) / artifacts.SOFT_PROMPT, base=os.fspath(folder))

    def save_soft_prompt(self, folder: str | os.PathLike[str], base: str) -> None:
        """Write the vectors alone, in PEFT's form, for the model in the folder `base`."""
        sizes = {"num_attention_heads": self.config.num_heads, "num_layers": self.config.num_layers}
        save_soft_prompt(self.prompt, folder, base, sizes)

    def call(
        self,
        token_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: KVCache | None = None,
        training: bool | None = None,
        segment_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Predict the token after each position that follows the prompt, without a cache: (B, T, V).

        A text is read from position k on; padding may lie on its right.

        Raises:
            UsageError: there are both token ids and vectors, or neither; or positions, a cache or segments,
                which a soft prompt has no place among.
        """
        if isinstance(token_ids, Mapping):
            return self.call(**token_ids, training=training)
        if position_ids is not None or cache is not None or segment_ids is not None:
            raise UsageError(
                "a soft prompt goes before a text read whole, without positions, cache or segments"
            )
        if (token_ids is None) == (inputs_embeds is None):
            raise UsageError("a call reads token_ids or inputs_embeds: give the one or the other")
        if inputs_embeds is None:
            inputs_embeds = self.backbone.embedding.token_embedding(token_ids)  # (B, T, D)
        batch = ops.shape(inputs_embeds)[0]
        before = ops.cast(self.soft_prompt, self.compute_dtype)
        before = ops.broadcast_to(before, (batch, *before.shape))  # (B, k, D)
        if attention_mask is not None:
            attention_mask = ops.convert_to_tensor(attention_mask)
            seen = ops.ones((batch, self.num_tokens), dtype=attention_mask.dtype)
            attention_mask = ops.concatenate([seen, attention_mask], axis=1)
        vectors = ops.concatenate([before, ops.cast(inputs_embeds, self.compute_dtype)], axis=1)
        hidden = self.backbone(inputs_embeds=vectors, attention_mask=attention_mask, training=training)
        return self.head(hidden[:, self.num_tokens :])

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return {**super().get_config(), "num_tokens": self.num_tokens}


def soft_prompt_in(source: Any) -> Path | None:
    """The folder of the soft prompt that lies with a model or in a run; None where there is none."""
    roots = (
        [Path(source), Path(source) / artifacts.RUN_MODEL] if isinstance(source, str | os.PathLike) else []
    )
    return next((path for root in roots if (path := root / artifacts.SOFT_PROMPT).is_dir()), None)


def fitting_prompt_of(folder: Path, config: GPT2Config) -> Vectors:
    """Read a soft prompt for a model, float32 (k, D).

    Raises:
        UsageError: it is for another model.
        KerasGPTError: its files are damaged.
    """
    prompt = read_soft_prompt(folder)
    if prompt.shape[1] != config.hidden_dim:
        raise UsageError(
            f"{folder}: its vectors are {prompt.shape[1]} wide and the model's {config.hidden_dim}; give one"
            " that was trained with this model"
        )
    return prompt
