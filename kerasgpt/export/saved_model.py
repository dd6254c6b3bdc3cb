"""The SavedModel: text in, text out in one graph of core TensorFlow ops, weights stored once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerasgpt import artifacts
from kerasgpt.atomic import atomic_folder
from kerasgpt.config import GenerationConfig
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.in_graph.decode import Prefill, Step, decode_greedily, fit_prompts
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer

_TEXTS = tf.TensorSpec([None], tf.string, "prompts")
_IDS = tf.TensorSpec([None, None], tf.int64, "input_ids")
_LENGTHS = tf.TensorSpec([None], tf.int64, "lengths")


def write_saved_model(
    model: GPT2CausalLM,
    tokenizer: Tokenizer,
    generation_config: GenerationConfig,
    folder: str | os.PathLike[str],
) -> None:
    """Write a SavedModel (tag ``serve``) that needs nothing but core TensorFlow to run.

    Its signatures, B, T and the lengths being free in each call:

    - ``serving_default(prompts: string (B,)) -> {"text": string (B,)}``: greedy continuations.
    - ``generate_from_text(prompts)`` and ``generate_from_ids(input_ids: int64 (B, T), lengths: int64
      (B,))``, also greedy: ``text``, ``token_ids`` int64 (B, M), ``num_tokens``, ``num_prompt_tokens``
      and ``num_dropped_tokens`` int64 (B,), ``finish_reason`` string (B,), ``logprobs`` float32 (B, M).
    - ``logits(input_ids, lengths) -> {"logits": float32 (B, T, V)}``: one pass without the cache.

    Args:
        model: with its weights; Keras must run on TensorFlow.
        tokenizer: the one it was trained with.
        generation_config: its `max_new_tokens`, M, becomes part of the graph.
        folder: such as ``bundle/saved_model/1``; replaced as a whole if it exists.

    Raises:
        KerasGPTError: Keras runs on another backend, or the folder cannot be written.
        UsageError: tokenizer and model do not belong together, or M is 0.
    """
    if keras.backend.backend() != "tensorflow":
        raise KerasGPTError(
            f"{folder}: a SavedModel is written by TensorFlow and Keras runs on"
            f" {keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
        )
    if tokenizer.vocabulary_size > model.config.vocabulary_size:
        raise UsageError(
            f"the tokenizer has {tokenizer.vocabulary_size} ids and the model"
            f" {model.config.vocabulary_size}: export the tokenizer the model was trained with"
        )
    if generation_config.max_new_tokens < 1:
        raise UsageError("max_new_tokens is 0: a SavedModel that writes nothing is of no use, give 1 or more")
    model.build()
    module, signatures = _build_module(model, tokenizer, generation_config.max_new_tokens)
    with atomic_folder(folder) as temporary:
        tf.saved_model.save(module, str(temporary), signatures)


def _build_module(model: GPT2CausalLM, tokenizer: Tokenizer, max_new_tokens: int) -> tuple[tf.Module, Any]:
    """Trace the signatures over a module that owns the weights and the tokenizer's tables."""
    # Not the Keras model itself: it would drag its layers, their metadata and seeds into the file.
    module = tf.Module()
    module.weights = [weight.value for weight in model.weights]
    module.tokenizer = graph_tokenizer = InGraphTokenizer.from_tokenizer(tokenizer)
    limits = {
        "end_of_text_id": tokenizer.end_of_text_id,
        "max_new_tokens": max_new_tokens,
        "context": model.config.max_sequence_length,
    }
    continue_ids = _continue_ids(model, graph_tokenizer, limits)

    @tf.function(input_signature=[_TEXTS])
    def generate_from_text(prompts: Any) -> dict[str, Any]:
        ids = graph_tokenizer.encode(prompts)
        return continue_ids(ids.flat_values, ids.row_splits)

    @tf.function(input_signature=[_IDS, _LENGTHS])
    def generate_from_ids(input_ids: Any, lengths: Any) -> dict[str, Any]:
        ids = tf.RaggedTensor.from_tensor(input_ids, lengths)
        return continue_ids(ids.flat_values, ids.row_splits)

    @tf.function(input_signature=[_TEXTS])
    def serving_default(prompts: Any) -> dict[str, Any]:
        return {"text": generate_from_text(prompts)["text"]}

    @tf.function(input_signature=[_IDS, _LENGTHS])
    def logits(input_ids: Any, lengths: Any) -> dict[str, Any]:
        mask = tf.sequence_mask(lengths, tf.shape(input_ids)[1], tf.int32)
        return {"logits": model(input_ids, attention_mask=mask, training=False)}

    functions = (serving_default, generate_from_text, generate_from_ids, logits)
    return module, {function.__name__: function for function in functions}


def _continue_ids(
    model: GPT2CausalLM, tokenizer: InGraphTokenizer, limits: dict[str, int]
) -> Callable[[Any, Any], dict[str, Any]]:
    """The generator as one function of the graph, which all signatures share."""
    prefill, step = _model_steps(model, limits["max_new_tokens"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.int64)])
    def continue_ids(flat_ids: Any, row_splits: Any) -> dict[str, Any]:
        ids = tf.RaggedTensor.from_row_splits(flat_ids, row_splits, validate=False)
        prompts = fit_prompts(ids, **limits)
        written = decode_greedily(prefill, step, prompts.token_ids, prompts.lengths, **limits)
        return {
            "text": tokenizer.decode(written.token_ids, written.num_tokens),
            "token_ids": written.token_ids,
            "num_tokens": written.num_tokens,
            "num_prompt_tokens": prompts.lengths,
            "num_dropped_tokens": prompts.num_dropped,
            "finish_reason": tf.where(written.ended, "stop", "length"),
            "logprobs": written.logprobs,
        }

    return continue_ids


def _model_steps(model: GPT2CausalLM, max_new_tokens: int) -> tuple[Prefill, Step]:
    """The model as the two functions that the decode loop calls; the state is (cache, mask)."""

    def prefill(token_ids: Any, lengths: Any) -> tuple[Any, Any]:
        batch, width = tf.unstack(tf.shape(token_ids))
        read = tf.sequence_mask(lengths, width, tf.int32)
        mask = tf.concat([read, tf.ones([batch, max_new_tokens], tf.int32)], axis=1)  # (B, C)
        cache = model.make_cache(batch, width + max_new_tokens)
        hidden, cache = model.backbone(token_ids, attention_mask=mask, cache=cache, training=False)
        last = tf.gather(hidden, lengths - 1, batch_dims=1)  # (B, D)
        return (cache, mask), model.head(last)

    def step(state: Any, ids: Any, positions: Any) -> tuple[Any, Any]:
        cache, mask = state
        hidden, cache = model.backbone(
            ids[:, None],
            attention_mask=mask,
            position_ids=positions[:, None],
            cache=cache,
            training=False,
        )
        return (cache, mask), model.head(hidden[:, 0])

    return prefill, step


def main(arguments: list[str]) -> int:
    """Run as ``python -m kerasgpt.export.saved_model FOLDER``: give a model folder its SavedModel."""
    (folder,) = arguments
    try:
        write_saved_model(
            GPT2CausalLM.from_preset(folder),
            Tokenizer.from_preset(folder),
            artifacts.read_generation_config(folder),
            os.path.join(folder, artifacts.SAVED_MODEL),
        )
    except KerasGPTError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
