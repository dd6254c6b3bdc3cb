"""Learner: a model with its optimizer and its running metric, compiled and ready for `fit`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from kerasgpt.architectures import AnyConfig, config_of_preset, config_of_type, type_of, type_of_preset
from kerasgpt.checkpoints.formats import read_checkpoint
from kerasgpt.checkpoints.mapping import assign_arrays
from kerasgpt.config import GPT2Config
from kerasgpt.errors import UsageError
from kerasgpt.models.causal_lm import CausalLM, model_class, refuse_recurrence
from kerasgpt.models.soft_prompt import SoftPromptCausalLM, fitting_prompt_of, soft_prompt_in
from kerasgpt.recurrent_config import RecurrentConfig
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.tokenizer.end_of_text import aligned
from kerasgpt.training.config import Recipe
from kerasgpt.training.devices import is_tensorflow_on_cpu
from kerasgpt.training.freezing import freeze
from kerasgpt.training.lora import add_adapters
from kerasgpt.training.losses import token_loss, token_metric
from kerasgpt.training.model_settings import ModelConfig
from kerasgpt.training.optimizer import RecordingAdamW, make_optimizer
from kerasgpt.training.rematerialisation import checkpoint_gradients
from kerasgpt.training.settings import TrainConfig
from kerasgpt.training.word_embeddings import start_from_word_vectors


@dataclass(frozen=True)
class Learner:
    """What training changes.

    Attributes:
        model: compiled.
        optimizer: of the model; under mixed_float16 Keras wraps it, and `model.optimizer` is the wrapper.
        metric: the mean loss per token since it was last reset.
    """

    model: CausalLM
    optimizer: RecordingAdamW
    metric: keras.metrics.Metric


def make_learner(
    recipe: Recipe, tokenizer: Tokenizer, say: Callable[[str], None] = lambda line: None
) -> Learner:
    """Build and compile the model of a recipe, with fresh weights or those of the folder it starts from.

    Args:
        recipe: of the run.
        tokenizer: of its text.
        say: told what of the vocabulary was found among word vectors, and of a soft prompt that lies with the
            model to start from and is left out.

    Raises:
        UsageError: model, tokenizer and sequence length do not fit together.
        KerasGPTError: the folder to start from cannot be read.
    """
    settings = recipe.train
    config = model_config(recipe.model, settings.sequence_length, tokenizer)
    _refuse_what_only_transformers_have(recipe, config)
    with _seeded(settings.seed):
        model = _make_model(config, settings)
        model.build()
    if recipe.model.init:
        assign_arrays(model, read_checkpoint(recipe.model.init)[1], recipe.model.init)
    _start_soft_prompt(model, recipe, say)
    if path := recipe.model.word_vectors:
        say(start_from_word_vectors(model, tokenizer, path, settings.seed).sentence)
    freeze(model, settings.freeze)
    with _seeded(settings.seed + 1):
        add_adapters(model, recipe.lora)
    if settings.gradient_checkpointing:
        checkpoint_gradients(model)
    optimizer, metric = make_optimizer(settings, model), token_metric()
    model.compile(
        optimizer=optimizer,
        loss=token_loss(settings.label_smoothing, settings.z_loss),
        weighted_metrics=[metric],
        jit_compile=uses_xla(settings, config),
    )
    model.optimizer.build(model.trainable_variables)
    return Learner(model, optimizer, metric)


def _make_model(config: AnyConfig, settings: TrainConfig) -> CausalLM:
    """The model, behind a soft prompt if there is to be one."""
    count = settings.soft_prompt_tokens
    if not count or not isinstance(config, GPT2Config):  # others are refused before
        return model_class(config)(config, dtype=settings.precision)
    if settings.sequence_length + count > config.max_sequence_length:
        raise UsageError(
            f"train.soft_prompt_tokens {count} and train.sequence_length {settings.sequence_length} pass the"
            f" model's context of {config.max_sequence_length}: make the latter"
            f" {config.max_sequence_length - count} at most"
        )
    return SoftPromptCausalLM(config, count, dtype=settings.precision)


def _start_soft_prompt(model: CausalLM, recipe: Recipe, say: Callable[[str], None]) -> None:
    """Go on from the soft prompt that lies with the model to start from; without one, from tokens."""
    count, source = recipe.train.soft_prompt_tokens, recipe.model.init
    folder = soft_prompt_in(source) if source else None
    if isinstance(model, SoftPromptCausalLM):
        kept = fitting_prompt_of(folder, model.config) if folder else ()
        if len(kept) == count:
            model.soft_prompt.assign(kept)
            return
        model.start_from_tokens(recipe.train.seed)
    if folder:  # whatever it is like, if nobody wants it
        say(f"{folder}: is left out, as train.soft_prompt_tokens is {count}")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Make initial weights and dropout a function of the seed.

    Keras draws every seed it is not given from Python's `random`. Its own `set_random_seed` would do, but
    imports TensorFlow wherever it is installed, whatever the backend.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def model_config(settings: ModelConfig, sequence_length: int, tokenizer: Tokenizer) -> AnyConfig:
    """The model's configuration: its context and vocabulary follow the data unless the recipe names them.

    GPT-2's own sizes keep their context of 1,024, a folder's model keeps the context it has, and a recurrent
    one, whose state has no limit, has at least 1,024.
    """
    preset = settings.preset
    if settings.init:
        config = read_checkpoint(settings.init, weights=False)[0]
        if settings.type not in ("", type_of(config)):
            raise UsageError(f"{settings.init}: is of type {type_of(config)}, and model.type {settings.type}")
        given = settings.overrides(type_of(config))
        _refuse_other_sizes(settings.init, config, given)
        config = aligned(config, tokenizer).replace(**given)
    else:
        model_type = type_of_preset(preset) if preset else settings.type or "gpt2"
        given = settings.overrides(model_type)
        fields: dict[str, Any] = {"vocabulary_size": tokenizer.vocabulary_size, **given}
        if model_type != "gpt2":
            fields.setdefault("max_sequence_length", max(sequence_length, 1024))
        elif not preset.startswith("gpt2"):
            fields.setdefault("max_sequence_length", sequence_length)
        if tokenizer.end_of_text_id < fields["vocabulary_size"]:
            fields.setdefault("bos_token_id", tokenizer.end_of_text_id)
            fields.setdefault("eos_token_id", tokenizer.end_of_text_id)
        config = config_of_preset(preset, **fields) if preset else config_of_type(model_type, **fields)
    _refuse_misfit(config, sequence_length, tokenizer)
    return config


def _refuse_other_sizes(folder: str, config: AnyConfig, given: dict[str, Any]) -> None:
    """Refuse a recipe whose model has not the shape of the one to start from."""
    for name in ("num_layers", "num_heads", "hidden_dim", "feed_forward_dim"):
        own = getattr(config, name, None)
        if given.get(name, own) != own:
            raise UsageError(
                f"{folder}: its {name} is {own}, and the recipe's model.{name} {given[name]}: leave the sizes"
                " out of the recipe, as --task does, or start from nothing, without --init"
            )


def _refuse_what_only_transformers_have(recipe: Recipe, config: AnyConfig) -> None:
    wanted = {
        "lora.rank": recipe.lora.rank,
        "model.word_vectors": recipe.model.word_vectors,
        "train.soft_prompt_tokens": recipe.train.soft_prompt_tokens,
        "train.gradient_checkpointing": recipe.train.gradient_checkpointing,
        "data.document_mask": recipe.data.document_mask,
        "task.pack=true (set it to false)": recipe.task.name and recipe.task.pack,
    }
    for name, value in wanted.items():
        if value:
            refuse_recurrence(config, name)


def _refuse_misfit(config: AnyConfig, sequence_length: int, tokenizer: Tokenizer) -> None:
    if sequence_length > config.max_sequence_length:
        raise UsageError(
            f"train.sequence_length {sequence_length} is longer than the model's context of"
            f" {config.max_sequence_length}: make it smaller"
        )
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise UsageError(
            f"the tokenizer has {tokenizer.vocabulary_size} ids and the model {config.vocabulary_size}:"
            " set model.vocabulary_size, or train with the model's own tokenizer"
        )


def uses_xla(settings: TrainConfig, config: AnyConfig) -> bool:
    """Whether to compile with XLA: a gain on TensorFlow, even on a CPU, and JAX knows nothing else.

    TensorFlow's replicas cannot be compiled so. In bfloat16 on a CPU it is no gain: oneDNN's products are
    faster, and XLA does not call them. TensorFlow's loop over the tokens of a recurrent model is three times
    slower under XLA.
    """
    if settings.jit_compile != "auto":
        return bool(settings.jit_compile)
    if isinstance(config, RecurrentConfig):
        return keras.backend.backend() == "jax"
    if settings.precision == "mixed_bfloat16" and is_tensorflow_on_cpu():
        return False
    return keras.backend.backend() in ("tensorflow", "jax") and settings.distribution != "mirrored"
