"""A SavedModel without weights that writes by a rule of its own, with the signatures that streaming takes.

A token is an ASCII character; the next one depends on the last one's key, and so on every bit of a cache that
travels. Errors are rows' own, as in a real one: a temperature that is no number.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasgpt.serving.predict_client import KNOBS

TYPES = {"seed": np.int64, "stop": object, **KNOBS}


def spec(shape: list[Any], dtype: Any, name: str) -> tf.TensorSpec:
    return tf.TensorSpec(shape, tf.string if dtype is object else dtype, name)


SETTINGS = [spec([None], dtype, name) for name, dtype in TYPES.items()]
PROMPTS = spec([None], object, "prompts")
STATE = [
    spec([None, 1, 2, None, 1], tf.float32, "keys"),
    spec([None, 1, 2, None, 1], tf.float32, "values"),
    spec([None, None], tf.int64, "token_ids"),
    spec([None], tf.int64, "num_prompt_tokens"),
    spec([None], tf.int64, "num_tokens"),
]


def keys_of(token_ids: Any) -> Any:
    keys = tf.sin(tf.cast(token_ids, tf.float32))[:, None, None, :, None]
    return tf.repeat(keys, 2, axis=2)


@tf.function(input_signature=[PROMPTS, spec([None], tf.int64, "max_new_tokens")])
def prefill(prompts: Any, max_new_tokens: Any) -> dict[str, Any]:
    read = tf.strings.unicode_decode(tf.strings.join(["^", prompts]), "UTF-8")
    lengths = read.row_lengths()
    capacity = tf.reduce_max(lengths) + tf.reduce_max(max_new_tokens)
    token_ids = tf.cast(read.to_tensor(), tf.int64)
    token_ids = tf.pad(token_ids, [[0, 0], [0, capacity - tf.shape(token_ids, tf.int64)[1]]])
    state = {"keys": keys_of(token_ids), "values": -keys_of(token_ids), "token_ids": token_ids}
    too_long = tf.where(tf.strings.length(prompts) > 1000, "the prompt is too long", "")
    return {**state, "num_prompt_tokens": lengths, "num_tokens": lengths, "error": too_long}


@tf.function(input_signature=[*STATE, *SETTINGS, spec([None], tf.int64, "num_steps")])
def decode(
    keys: Any,
    values: Any,
    token_ids: Any,
    num_prompt_tokens: Any,
    num_tokens: Any,
    seed: Any,
    stop: Any,
    max_new_tokens: Any,
    temperature: Any,
    top_k: Any,
    top_p: Any,
    min_p: Any,
    repetition_penalty: Any,
    num_steps: Any,
) -> dict[str, Any]:
    good = ~tf.math.is_nan(temperature)
    end = tf.where(good, num_prompt_tokens + max_new_tokens, num_tokens)
    before, columns = num_tokens, tf.range(tf.shape(token_ids, tf.int64)[1])
    for step in tf.range(tf.reduce_max(num_steps)):
        last = tf.gather(keys[:, 0, 0, :, 0], num_tokens - 1, batch_dims=1)
        chosen = 32 + (tf.cast(last * 1e4, tf.int64) * 31 + tf.cast(temperature * 10, tf.int64) * seed) % 95
        active = (step < num_steps) & (num_tokens < end)
        here = (columns == num_tokens[:, None]) & active[:, None]
        token_ids = tf.where(here, chosen[:, None], token_ids)
        keys = tf.where(here[:, None, None, :, None], keys_of(token_ids), keys)
        num_tokens += tf.cast(active, tf.int64)
    new = (columns >= before[:, None]) & (columns < num_tokens[:, None])
    text = tf.strings.unicode_encode(tf.cast(tf.ragged.boolean_mask(token_ids, new), tf.int32), "UTF-8")
    reason = tf.where(good, tf.where(num_tokens < end, "", "length"), "error")
    written = {"text": text, "num_new_tokens": num_tokens - before, "finish_reason": reason}
    written["logprobs"] = -tf.ones(tf.stack([tf.shape(seed, tf.int64)[0], tf.reduce_max(num_steps)]))
    written["error"] = tf.where(good, "", "temperature is not a number")
    state = {"keys": keys, "values": values, "token_ids": token_ids}
    counts = {"num_prompt_tokens": num_prompt_tokens, "num_tokens": num_tokens}
    return {**state, **counts, **written}


@tf.function(input_signature=[PROMPTS, *SETTINGS])
def generate(prompts: Any, *settings: Any) -> dict[str, Any]:
    max_new_tokens = settings[list(TYPES).index("max_new_tokens")]
    state = prefill(prompts, max_new_tokens)
    names = [each.name for each in STATE]
    written = decode(*(state[name] for name in names), *settings, max_new_tokens)
    return {name: written[name] for name in ("text", "finish_reason", "error", "token_ids")}


@tf.function(input_signature=[PROMPTS])
def serving_default(prompts: Any) -> dict[str, Any]:
    return {"text": tf.strings.upper(prompts)}


DEFAULTS = {"max_new_tokens": tf.constant([5], tf.int64), "temperature": tf.constant([0.5])}


@tf.function(
    input_signature=[
        PROMPTS,
        spec([None], tf.int64, "max_new_tokens"),
        spec([None], tf.float32, "temperature"),
    ]
)
def with_defaults(
    prompts: Any,
    max_new_tokens: Any = DEFAULTS["max_new_tokens"],
    temperature: Any = DEFAULTS["temperature"],
) -> dict[str, Any]:
    batch = tf.shape(prompts)[0]
    numbers = [tf.strings.as_string(tf.broadcast_to(each, [batch])) for each in (max_new_tokens, temperature)]
    return {"text": tf.strings.join([prompts, *numbers], "|")}


@tf.function(input_signature=[spec([None, None], tf.int64, "input_ids"), spec([None], tf.int64, "lengths")])
def total(input_ids: Any, lengths: Any) -> dict[str, Any]:
    mask = tf.sequence_mask(lengths, tf.shape(input_ids)[1], tf.int64)
    return {
        "total": tf.reduce_sum(input_ids * mask, axis=1),
        "width": tf.ones_like(lengths) * tf.shape(mask, tf.int64)[1],
    }


FUNCTIONS = {f.__name__: f for f in (prefill, decode, generate, serving_default, with_defaults, total)}


def write_fake(folder: Path) -> Path:
    """Save it."""
    tf.saved_model.save(tf.Module(), str(folder), FUNCTIONS)
    return folder
