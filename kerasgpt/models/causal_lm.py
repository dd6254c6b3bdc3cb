"""CausalLM: what every language model here is, a Keras model that comes from and goes to a model folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import keras

from kerasgpt import artifacts
from kerasgpt.architectures import ALL_PRESETS, ARCHITECTURES, AnyConfig, config_of_preset, type_of
from kerasgpt.engines import CHECKPOINT_ASSIGNER, CHECKPOINT_READER, CHECKPOINT_WRITER, resolve
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.freed_memory import keep_freed_memory, outlived, pool_tensors
from kerasgpt.layers.policies import serialized_policy
from kerasgpt.layers.trainability import INNER, inner_flags, set_inner_flags
from kerasgpt.models import token_mean as token_mean  # so that a compiled model comes back from its file

pool_tensors()  # here, since a model's first weight is too late for it


class CausalLM(keras.Model):
    """The contract of a language model; a subclass has `config`, `head`, `make_cache` and its `call`.

    Attributes:
        model_type: of `kerasgpt.architectures.ARCHITECTURES`.
    """

    model_type: ClassVar[str]
    config: Any
    train_function: Any  # Keras's own

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.autocast = False  # ids may come as floats, of which half precision has few

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Export the forward pass alone, ``token_ids`` int32 (B, T) -> logits; see `keras.Model.export`.

        `kerasgpt.export_bundle` exports what also writes text.
        """
        signature = input_signature or [keras.InputSpec(shape=(None, None), dtype="int32", name="token_ids")]
        super().export(filepath, format, verbose, signature, **kwargs)

    def make_train_function(self, force: bool = False) -> Any:
        """Called by Keras before it trains; faster with memory at hand, and outliving a lack of it."""
        keep_freed_memory()
        before = self.train_function
        super().make_train_function(force)
        if self.train_function is not before and keras.backend.backend() == "tensorflow":
            self.train_function = outlived(
                self.train_function,
                lambda: (*self.variables, *self.optimizer.variables, *self.metrics_variables),
            )
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """The same before it evaluates."""
        keep_freed_memory()
        return super().make_test_function(force)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Symbolic result of a call, whatever its arguments: by tracing it."""
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def compute_output_shape(self, token_ids_shape: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
        """Shape of the logits (B, T, V) for ids (B, T), or for inputs by name."""
        if isinstance(token_ids_shape, Mapping):
            token_ids_shape = next(iter(token_ids_shape.values()))
        return (*token_ids_shape[:2], self.config.vocabulary_size)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Make the model that `get_config` described, frozen where it was."""
        return remade(super().from_config, config, custom_objects)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Called by Keras before it reads a file's weights; its own passes over what fails here."""
        if config:
            self.build()

    @classmethod
    def from_preset(
        cls,
        source: str | os.PathLike[str] | keras.Model,
        load_weights: bool = True,
        *,
        dtype: str | None = None,
        **overrides: Any,
    ) -> Self:
        """Make a model of a preset's size, or load one from a checkpoint.

        Args:
            source: a model folder, a run or a bundle; for a GPT-2 also a folder of OpenAI's, KerasHub's or
                transformers' TensorFlow form and a KerasHub ``GPT2CausalLM``; or the name of a preset, which
                gives its shape with fresh weights.
            load_weights: whether to read the weights, or start from fresh ones.
            dtype: Keras's policy for the model, such as ``"mixed_bfloat16"``; None means the global one.
            **overrides: fields of the configuration to change, such as ``dropout=0.2``.

        Raises:
            UsageError: neither a checkpoint nor a preset, or one of another architecture.
            KerasGPTError: the files cannot be read as a model of that shape.
        """
        is_path = isinstance(source, str | os.PathLike)
        if is_path and not os.path.exists(source):
            if str(source) not in ALL_PRESETS:
                raise unknown_name("preset or folder", str(source), ALL_PRESETS)
            model = cls(cls._own(config_of_preset(str(source), **overrides), str(source)), dtype=dtype)
            model.build()
            return model
        config, arrays = resolve(CHECKPOINT_READER)(source, load_weights)
        name = str(source) if is_path else type(source).__name__
        model = cls(cls._own(config, name).replace(**overrides), dtype=dtype)
        if load_weights:
            resolve(CHECKPOINT_ASSIGNER)(model, arrays, name)
        model.build()
        return model

    @classmethod
    def _own(cls, config: AnyConfig, source: str) -> Any:
        """A configuration of this architecture, or an error."""
        found = type_of(config)
        if found != cls.model_type:
            right = ARCHITECTURES[found].model.partition(":")[2]
            raise UsageError(f"{source}: is a model of type {found}: use {right}.from_preset")
        return config

    def save_to_preset(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json, generation_config.json and model.safetensors in Hugging Face form.

        Raises:
            KerasGPTError: a soft prompt of another model lies in the folder, or it cannot be written.
        """
        prompt = Path(folder) / artifacts.SOFT_PROMPT
        if prompt.is_dir():
            raise KerasGPTError(
                f"{prompt}: is the soft prompt of the model that lies there, and would be read with this one:"
                " delete it, or save into another folder"
            )
        self._write(folder)

    def _write(self, folder: str | os.PathLike[str]) -> None:
        resolve(CHECKPOINT_WRITER)(self, folder)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument, and what is frozen inside."""
        policy = {"dtype": serialized_policy(self), "config": self.config.to_dict()}
        return {**super().get_config(), **policy, **inner_flags(self)}


def remade(make: Callable[..., Any], config: Mapping[str, Any], custom_objects: Any) -> Any:
    """A model by Keras's `from_config`, with what was frozen inside frozen again."""
    flags = config.get(INNER, {})
    model = make({name: value for name, value in config.items() if name != INNER}, custom_objects)
    if flags:
        model.build()  # some of its layers are made there
        set_inner_flags(model, flags)
    return model


def model_class(config: AnyConfig) -> type[CausalLM]:
    """The class of Keras models of a configuration."""
    found: type[CausalLM] = resolve(ARCHITECTURES[type_of(config)].model)
    return found


def load_model(folder: str | os.PathLike[str], dtype: str | None = None) -> CausalLM:
    """Load a model of whatever architecture from a model folder, a run or a bundle.

    Args:
        folder: where it lies.
        dtype: as in `CausalLM.from_preset`.

    Raises:
        KerasGPTError: the files are missing, damaged, or do not fit together.
    """
    config, _ = resolve(CHECKPOINT_READER)(folder, False)
    return model_class(config).from_preset(folder, dtype=dtype)


def refuse_recurrence(config: AnyConfig, what: str) -> None:
    """Refuse what only a GPT-2 has.

    Raises:
        UsageError: the configuration is of another architecture.
    """
    if type_of(config) != "gpt2":
        raise UsageError(f"{what}: a model of type {type_of(config)} has no such thing; only a GPT-2 does")


def refuse_quantised(layer: Any) -> None:
    """Refuse a layer that `quantize` has rounded: its numbers mean nothing without their scales.

    Raises:
        UsageError: it is quantised.
    """
    if mode := getattr(layer, "quantization_mode", None):
        raise UsageError(f"{layer.path}: is quantised to {mode}; give the model before `quantize`")
