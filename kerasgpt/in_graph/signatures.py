"""The signatures of a SavedModel: what each takes and gives, as functions of one graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasgpt.in_graph.answering import answering
from kerasgpt.in_graph.decode import GraphModel
from kerasgpt.in_graph.generation import Words, generate
from kerasgpt.in_graph.groups import in_groups, refuse_large, rows_per_group
from kerasgpt.in_graph.network import GraphNetwork
from kerasgpt.in_graph.prompts import fit_prompts, keep_ends
from kerasgpt.in_graph.requests import (
    SETTINGS,
    Request,
    first_error,
    for_all_rows,
    greedy_request,
    harmless,
    id_errors,
    request_of,
    where_equal,
)
from kerasgpt.in_graph.resumption import Paused, pause, resume
from kerasgpt.in_graph.sampling import Knobs
from kerasgpt.in_graph.scoring import score as scores_of
from kerasgpt.in_graph.speculation import drafted_steps
from kerasgpt.in_graph.transformer import GraphTransformer
from kerasgpt.tasks.templates import TaskTemplate

_PROMPTS = tf.TensorSpec([None], tf.string, "prompts")
_CONTINUATIONS = tf.TensorSpec([None], tf.string, "continuations")
_IDS = tf.TensorSpec([None, None], tf.int64, "input_ids")
_LENGTHS = tf.TensorSpec([None], tf.int64, "lengths")
_OLD_IDS = tf.TensorSpec([None, None], tf.int32, "input_ids")
_OLD_MASK = tf.TensorSpec([None, None], tf.int32, "attention_mask")
_STEPS = tf.constant([8], tf.int64)
_SETTINGS = [tf.TensorSpec([None], dtype, name) for name, (dtype, _) in SETTINGS.items()]

Functions = dict[str, Any]
"""Name -> a function of TensorFlow with an input signature, which gives a dict of tensors."""


def signatures(
    network: GraphNetwork,
    words: Words,
    max_new_tokens: int,
    model: GraphModel,
    task: TaskTemplate | None = None,
) -> Functions:
    """Make the signatures over one network and one tokenizer; docs/signatures.md says what each is for.

    Every input is batch-first. The settings of `SETTINGS` are each a tensor (B,), or (1,) for all rows, and
    have defaults, which a server fills in. A row's answer depends on nothing but its own inputs.

    Args:
        network: the model.
        words: its tokenizer and end of text.
        max_new_tokens: of a request that does not say.
        model: what `generate` and its like write with. ``prefill`` and ``decode``, which hand out a KV cache,
            are a transformer's alone.
        task: of a model that was fine-tuned on one, which then has ``answer``.
    """
    resuming = _resuming(network, words, max_new_tokens) if isinstance(network, GraphTransformer) else {}
    continue_ids = _shared_generator(model, network, words)
    context = network.config.max_sequence_length
    return {
        **_generating(continue_ids, words, max_new_tokens, network.config.vocabulary_size),
        **_reading(network, words),
        **_tokenizing(words),
        **resuming,
        **({"answer": answering(continue_ids, words, task, context)} if task else {}),
    }


def _shared_generator(
    model: GraphModel, network: GraphNetwork, words: Words
) -> Callable[..., dict[str, Any]]:
    """The generator as one function of the graph, which the signatures share."""
    texts, numbers = tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int64)
    knobs = Knobs(**{name: tf.TensorSpec([None], SETTINGS[name][0]) for name in Knobs._fields})

    @tf.function(autograph=False, input_signature=[numbers, numbers, Request(numbers, knobs, texts), texts])
    def continue_ids(flat_ids: Any, row_splits: Any, request: Request, error: Any) -> dict[str, Any]:
        ids = tf.RaggedTensor.from_row_splits(flat_ids, row_splits, validate=False)
        return generate(model, network, words, ids, request, error)

    return lambda ids, request, error: continue_ids(ids.flat_values, ids.row_splits, request, error)


def _generating(
    continue_ids: Callable[..., dict[str, Any]], words: Words, max_new_tokens: int, num_ids: int
) -> Functions:
    """Prompts in, continuations out."""
    length, temperature, top_k, top_p, min_p, penalty, seed, stop = _defaults(max_new_tokens)

    @tf.function(autograph=False, input_signature=[_PROMPTS])
    def serving_default(prompts: Any) -> dict[str, Any]:
        batch = tf.size(prompts)
        ids, request = words.tokenizer.encode(prompts), greedy_request(batch, max_new_tokens)
        return {"text": continue_ids(ids, request, tf.fill([batch], ""))["text"]}

    @tf.function(autograph=False, input_signature=[_PROMPTS, *_SETTINGS])
    def generate(
        prompts: Any,
        max_new_tokens: Any = length,
        temperature: Any = temperature,
        top_k: Any = top_k,
        top_p: Any = top_p,
        min_p: Any = min_p,
        repetition_penalty: Any = penalty,
        seed: Any = seed,
        stop: Any = stop,
    ) -> dict[str, Any]:
        settings = (max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed, stop)
        request, error = request_of(tf.size(prompts), settings)
        return continue_ids(words.tokenizer.encode(prompts), request, error)

    @tf.function(autograph=False, input_signature=[_IDS, _LENGTHS, *_SETTINGS])
    def generate_tokens(
        input_ids: Any,
        lengths: Any,
        max_new_tokens: Any = length,
        temperature: Any = temperature,
        top_k: Any = top_k,
        top_p: Any = top_p,
        min_p: Any = min_p,
        repetition_penalty: Any = penalty,
        seed: Any = seed,
        stop: Any = stop,
    ) -> dict[str, Any]:
        settings = (max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed, stop)
        request, error = request_of(tf.shape(input_ids)[0], settings)
        error = first_error(id_errors(input_ids, lengths, num_ids), error)
        lengths = tf.where(error == "", lengths, 0)
        ids = tf.RaggedTensor.from_tensor(input_ids, lengths)
        return continue_ids(ids, harmless(request, error), error)

    @tf.function(autograph=False, input_signature=[_OLD_IDS, _OLD_MASK])
    def serving(input_ids: Any, attention_mask: Any) -> dict[str, Any]:
        batch, width = tf.unstack(tf.shape(input_ids))
        kept = tf.RaggedTensor.from_tensor(tf.cast(input_ids, tf.int64))
        with tf.control_dependencies([_refuse_bad_ids(kept.flat_values, num_ids)]):
            ids = tf.ragged.boolean_mask(kept, attention_mask != 0)
        outputs = continue_ids(ids, greedy_request(batch, max_new_tokens), tf.fill([batch], ""))
        longest = tf.reduce_max(tf.concat([outputs["num_tokens"], [0]], 0))
        new_ids = tf.cast(outputs["token_ids"][:, :longest], tf.int32)
        return {
            "sequences": tf.reshape(
                tf.concat([input_ids, new_ids], 1), [batch, width + tf.cast(longest, tf.int32)]
            )
        }

    return _by_name(serving_default, generate, generate_tokens, serving)


def _reading(network: GraphNetwork, words: Words) -> Functions:
    """Texts in, numbers out."""
    config = network.config
    context, num_ids = config.max_sequence_length, config.vocabulary_size

    @tf.function(autograph=False, input_signature=[_PROMPTS, _CONTINUATIONS])
    def score(prompts: Any, continuations: Any) -> dict[str, Any]:
        number, message = tf.size(prompts), "give one continuation for each prompt"
        texts = where_equal(number, tf.size(continuations), message, tf.concat([prompts, continuations], 0))
        encoded = words.tokenizer.encode(texts)
        scores = scores_of(network, encoded[:number], encoded[number:], words.end_of_text_id)
        return scores._asdict()

    @tf.function(autograph=False, input_signature=[_IDS, _LENGTHS])
    def logits(input_ids: Any, lengths: Any) -> dict[str, Any]:
        batch, width = tf.unstack(tf.shape(input_ids, tf.int64))
        errors = id_errors(input_ids, lengths, num_ids)
        wrong = tf.boolean_mask(errors, errors != "")
        message = f"the context is {context} tokens"
        checks = [
            tf.debugging.Assert(tf.size(wrong) == 0, [wrong]),
            tf.debugging.Assert(width <= context, [message, width]),
            refuse_large(batch * width * num_ids, "the logits"),
        ]
        with tf.control_dependencies(checks):
            counts = tf.sequence_mask(lengths, width)
            ids = tf.where(counts, input_ids, words.end_of_text_id)

        def of_group(ids: Any) -> tuple[Any]:
            stream, *_ = network.read_prompts(ids)
            flat = tf.reshape(stream, [-1, config.hidden_dim])
            found = network.head(network.final_norm(flat))
            return (tf.reshape(found, tf.concat([tf.shape(ids), [num_ids]], 0)),)

        empty = (tf.zeros(tf.stack([0, tf.cast(width, tf.int32), num_ids])),)
        return {"logits": in_groups(of_group, (ids,), rows_per_group(config, width), empty)[0]}

    @tf.function(autograph=False, input_signature=[_PROMPTS])
    def embed(prompts: Any) -> dict[str, Any]:
        encoded = words.tokenizer.encode(prompts)
        kept = tf.minimum(encoded.row_lengths(), context)
        fitted = keep_ends(encoded, kept, words.end_of_text_id)

        def of_group(ids: Any, lengths: Any) -> tuple[Any, Any]:
            stream, *_ = network.read_prompts(ids[:, : tf.reduce_max(lengths)])
            hidden = network.final_norm(stream)  # (R, T, D)
            counts = tf.sequence_mask(lengths, tf.shape(hidden)[1])[:, :, None]
            total = tf.reduce_sum(tf.where(counts, hidden, 0.0), axis=1)
            return total / tf.cast(lengths, tf.float32)[:, None], tf.gather(hidden, lengths - 1, batch_dims=1)

        none = tf.zeros([0, config.hidden_dim])
        size = rows_per_group(config, tf.shape(fitted.token_ids, tf.int64)[1])
        mean, last = in_groups(of_group, (fitted.token_ids, fitted.lengths), size, (none, none))
        return {"mean": mean, "last": last, "num_tokens": fitted.lengths}

    return _by_name(score, logits, embed)


def _tokenizing(words: Words) -> Functions:
    """Texts in, ids out, and back."""

    @tf.function(autograph=False, input_signature=[_PROMPTS])
    def tokenize(prompts: Any) -> dict[str, Any]:
        ids = words.tokenizer.encode(prompts)
        return {"input_ids": ids.to_tensor(words.end_of_text_id), "lengths": ids.row_lengths()}

    @tf.function(autograph=False, input_signature=[_IDS, _LENGTHS])
    def detokenize(input_ids: Any, lengths: Any) -> dict[str, Any]:
        message = "lengths must have one number for each row of input_ids"
        lengths = where_equal(tf.size(lengths), tf.shape(input_ids)[0], message, lengths)
        return {"text": words.tokenizer.decode(input_ids, lengths)}

    return _by_name(tokenize, detokenize)


def _resuming(transformer: GraphTransformer, words: Words, max_new_tokens: int) -> Functions:
    """A few tokens a call, the cache in the client's hands."""
    length, temperature, top_k, top_p, min_p, penalty, seed, stop = _defaults(max_new_tokens)
    config = transformer.config
    cache = [None, config.num_layers, config.num_heads, None, config.head_dim]
    write = drafted_steps(transformer)
    state = [
        tf.TensorSpec(cache, tf.float32, "keys"),
        tf.TensorSpec(cache, tf.float32, "values"),
        tf.TensorSpec([None, None], tf.int64, "token_ids"),
        tf.TensorSpec([None], tf.int64, "num_prompt_tokens"),
        tf.TensorSpec([None], tf.int64, "num_tokens"),
    ]

    @tf.function(autograph=False, input_signature=[_PROMPTS, _SETTINGS[0]])
    def prefill(prompts: Any, max_new_tokens: Any = length) -> dict[str, Any]:
        batch = tf.size(prompts)
        request, error = request_of(batch, (max_new_tokens, *_defaults(0)[1:]))
        limits = {"end_of_text_id": words.end_of_text_id, "context": config.max_sequence_length}
        fitted = fit_prompts(words.tokenizer.encode(prompts), request.max_new_tokens, **limits)
        return {**pause(transformer, fitted)._asdict(), "error": error}

    @tf.function(
        autograph=False, input_signature=[*state, *_SETTINGS, tf.TensorSpec([None], tf.int64, "num_steps")]
    )
    def decode(
        keys: Any,
        values: Any,
        token_ids: Any,
        num_prompt_tokens: Any,
        num_tokens: Any,
        max_new_tokens: Any = length,
        temperature: Any = temperature,
        top_k: Any = top_k,
        top_p: Any = top_p,
        min_p: Any = min_p,
        repetition_penalty: Any = penalty,
        seed: Any = seed,
        stop: Any = stop,
        num_steps: Any = _STEPS,
    ) -> dict[str, Any]:
        settings = (max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed, stop)
        batch = tf.shape(token_ids)[0]
        request, error = request_of(batch, settings)
        steps = for_all_rows(num_steps, batch, "num_steps")
        paused = Paused(keys, values, token_ids, num_prompt_tokens, num_tokens)
        return resume(transformer, words, paused, request, error, steps, write)

    return _by_name(prefill, decode)


def _defaults(max_new_tokens: int) -> list[Any]:
    """The settings' defaults, (1,) each, in their order."""
    values = {name: default for name, (_, default) in SETTINGS.items()} | {"max_new_tokens": max_new_tokens}
    return [tf.constant([values[name]], dtype) for name, (dtype, _) in SETTINGS.items()]


def _refuse_bad_ids(ids: Any, num_ids: int) -> Any:
    wrong = tf.boolean_mask(ids, (ids < 0) | (ids >= num_ids))
    return tf.debugging.Assert(
        tf.size(wrong) == 0, [f"input_ids holds ids outside 0 to {num_ids - 1}", wrong]
    )


def _by_name(*functions: Any) -> Functions:
    return {function.__name__: function for function in functions}
