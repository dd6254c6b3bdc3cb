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
from kerasgpt.in_graph.decode import Prefill, Request, Step, cut_at_stop, decode, fit_prompts, greedy_request
from kerasgpt.in_graph.sampling import Knobs
from kerasgpt.in_graph.tokenizer import InGraphTokenizer
from kerasgpt.models.gpt2 import GPT2CausalLM
from kerasgpt.tokenizer.bpe import Tokenizer

_TEXTS = tf.TensorSpec([None], tf.string, "prompts")
_IDS = tf.TensorSpec([None, None], tf.int64, "input_ids")
_LENGTHS = tf.TensorSpec([None], tf.int64, "lengths")
_SETTINGS = [
    tf.TensorSpec([None], tf.int64, "max_new_tokens"),
    tf.TensorSpec([None], tf.float32, "temperature"),
    tf.TensorSpec([None], tf.int64, "top_k"),
    tf.TensorSpec([None], tf.float32, "top_p"),
    tf.TensorSpec([None], tf.float32, "min_p"),
    tf.TensorSpec([None], tf.float32, "repetition_penalty"),
    tf.TensorSpec([None], tf.int64, "seed"),
    tf.TensorSpec([None], tf.string, "stop"),
]


def write_saved_model(
    model: GPT2CausalLM,
    tokenizer: Tokenizer,
    generation_config: GenerationConfig,
    folder: str | os.PathLike[str],
) -> None:
    """Write a SavedModel (tag ``serve``) that needs nothing but core TensorFlow to run.

    Its signatures, B, T and the lengths being free in each call:

    - ``serving_default(prompts: string (B,)) -> {"text": string (B,)}``: greedy continuations.
    - ``generate(prompts, max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed,
      stop)``, and ``generate_tokens(input_ids: int64 (B, T), lengths: int64 (B,), ...)`` with the same
      settings, each a tensor (B,). Off are: temperature 0 (greedy), top_k 0, top_p 1, min_p 0,
      repetition_penalty 1, stop "". The seed is the row's own: a row of a batch gets what it gets alone,
      and what the other engines give for that seed. They answer ``text`` and ``finish_reason`` string
      (B,), ``token_ids`` int64 (B, M) and ``logprobs`` float32 (B, M), M being the largest
      `max_new_tokens`, ``num_tokens``, ``num_prompt_tokens`` and ``num_dropped_tokens`` int64 (B,), and
      ``logprob`` float32 (B,), the sum.
    - ``logits(input_ids, lengths) -> {"logits": float32 (B, T, V)}``: one pass without the cache.

    Args:
        model: with its weights; Keras must run on TensorFlow.
        tokenizer: the one it was trained with.
        generation_config: its `max_new_tokens` is how much `serving_default` writes.
        folder: such as ``bundle/saved_model/1``; replaced as a whole if it exists.

    Raises:
        KerasGPTError: Keras runs on another backend, or the folder cannot be written.
        UsageError: tokenizer and model do not belong together, or `max_new_tokens` is 0.
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
    continue_ids = _continue_ids(model, graph_tokenizer, tokenizer.end_of_text_id)

    @tf.function(input_signature=[_TEXTS])
    def serving_default(prompts: Any) -> dict[str, Any]:
        ids, request = graph_tokenizer.encode(prompts), greedy_request(tf.shape(prompts)[0], max_new_tokens)
        return {"text": continue_ids(ids.flat_values, ids.row_splits, request)["text"]}

    @tf.function(input_signature=[_TEXTS, *_SETTINGS])
    def generate(prompts: Any, *settings: Any) -> dict[str, Any]:
        ids = graph_tokenizer.encode(prompts)
        return continue_ids(ids.flat_values, ids.row_splits, _request(*settings))

    @tf.function(input_signature=[_IDS, _LENGTHS, *_SETTINGS])
    def generate_tokens(input_ids: Any, lengths: Any, *settings: Any) -> dict[str, Any]:
        ids = tf.RaggedTensor.from_tensor(input_ids, lengths)
        return continue_ids(ids.flat_values, ids.row_splits, _request(*settings))

    @tf.function(input_signature=[_IDS, _LENGTHS])
    def logits(input_ids: Any, lengths: Any) -> dict[str, Any]:
        mask = tf.sequence_mask(lengths, tf.shape(input_ids)[1], tf.int32)
        return {"logits": model(input_ids, attention_mask=mask, training=False)}

    functions = (serving_default, generate, generate_tokens, logits)
    return module, {function.__name__: function for function in functions}


def _request(max_new_tokens: Any, *settings: Any) -> Request:
    """The settings of a signature, in its order."""
    *knobs, stop = settings
    return Request(max_new_tokens, Knobs(*knobs), stop)


def _continue_ids(
    model: GPT2CausalLM, tokenizer: InGraphTokenizer, end_of_text_id: int
) -> Callable[[Any, Any, Request], dict[str, Any]]:
    """The generator as one function of the graph, which all signatures share."""
    prefill, step = _model_steps(model)
    limits = {"end_of_text_id": end_of_text_id, "context": model.config.max_sequence_length}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None], tf.int64),
            _request(*_SETTINGS),
        ]
    )
    def continue_ids(flat_ids: Any, row_splits: Any, request: Request) -> dict[str, Any]:
        ids = tf.RaggedTensor.from_row_splits(flat_ids, row_splits, validate=False)
        prompts = fit_prompts(ids, request.max_new_tokens, **limits)
        written = decode(prefill, step, prompts, request, tokenizer.pieces_of, **limits)
        return {
            "text": tokenizer.decode_rest(cut_at_stop(written.data, request.stop)),
            "token_ids": written.token_ids,
            "num_tokens": written.num_tokens,
            "num_prompt_tokens": prompts.lengths,
            "num_dropped_tokens": prompts.num_dropped,
            "finish_reason": tf.where(written.ended, "stop", "length"),
            "logprobs": written.logprobs,
            "logprob": tf.reduce_sum(written.logprobs, axis=1),
        }

    return continue_ids


def _model_steps(model: GPT2CausalLM) -> tuple[Prefill, Step]:
    """The model as the two functions that the decode loop calls; the state is (cache, mask)."""

    def prefill(token_ids: Any, lengths: Any, num_new: Any) -> tuple[Any, Any]:
        batch, width = tf.unstack(tf.shape(token_ids))
        num_new = tf.cast(num_new, tf.int32)
        read = tf.sequence_mask(lengths, width, tf.int32)
        mask = tf.concat([read, tf.ones(tf.stack([batch, num_new]), tf.int32)], axis=1)  # (B, C)
        cache = model.make_cache(batch, width + num_new)
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
