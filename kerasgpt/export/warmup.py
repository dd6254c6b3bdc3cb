"""Warm-up: what TensorFlow Serving asks a SavedModel before its first user does."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from kerasgpt.atomic import atomic_file
from kerasgpt.config import GPT2Config
from kerasgpt.errors import KerasGPTError, graph_reason
from kerasgpt.export.example_requests import STATE_OF, Arrays, Examples
from kerasgpt.export.predict_request import prediction_log
from kerasgpt.export.signatures import Signature
from kerasgpt.in_graph.compiled import Buckets

WARMUP_FILE: Final = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS: Final = 1000
"""A server does not load a model that has more."""

NUM_NEW_TOKENS: Final = 4
"""Written by a warm-up request: the first tokens pay for what TensorFlow puts off, the others cost time."""

MOST_PROMPTS: Final = 8
"""That are tried, each of one token again and again, to find one whose text has more than one token."""


def warmup_inputs(
    model: Any, signatures: Mapping[str, Signature], examples: Examples
) -> list[tuple[str, Arrays]]:
    """What each signature is asked: one row, then two with different settings.

    Each has been answered here: a server whose warm-up fails does not load the model.

    Args:
        model: `tf.saved_model.load`'s.
        signatures: of the same SavedModel.
        examples: as a user will ask; here fewer tokens are written.

    Returns:
        (signature, inputs) pairs; a signature with an input that no example is known for has none.

    Raises:
        KerasGPTError: a signature refuses its example.
    """
    short, asked = examples.shorter(NUM_NEW_TOKENS), []
    for name, signature in signatures.items():
        given = short
        if name in STATE_OF and STATE_OF[name] in signatures:
            before = signatures[STATE_OF[name]]
            given = short.with_state(_answer(model, before, short.inputs(before) or {}))
        inputs = given.inputs(signature)
        if inputs is None:
            continue
        one_row = {key: array[:1] for key, array in inputs.items()}
        for rows in (one_row, inputs):
            _answer(model, signature, rows)
            asked.append((name, rows))
    return asked


def bucket_inputs(model: Any, signature: Signature, config: GPT2Config) -> list[tuple[str, Arrays]]:
    """What a SavedModel compiled by XLA is asked: each of its sizes, so that no user waits for the compiler.

    Args:
        model: `tf.saved_model.load`'s.
        signature: ``generate_tokens`` of the same SavedModel.
        config: of the model.

    Returns:
        (signature, inputs) pairs. Texts end at the first blank, since only their sizes count.

    Raises:
        KerasGPTError: the signature refuses one.
    """
    asked = []
    for rows, num_prompt_tokens, num_new_tokens in Buckets.of(config).requests():
        values: dict[str, Any] = {
            **{name: np.repeat(default, rows) for name, default in signature.defaults.items()},
            "lengths": np.full(rows, num_prompt_tokens),
            "max_new_tokens": np.full(rows, num_new_tokens),
        }
        # A text that ends with its first token, which comes of reading, has compiled no step.
        for stop, index in product((b" ", b""), range(MOST_PROMPTS)):
            values["input_ids"] = np.full((rows, num_prompt_tokens), index % config.vocabulary_size)
            values["stop"] = [stop] * rows
            inputs = {name: spec.array(values[name]) for name, spec in signature.inputs.items()}
            if _answer(model, signature, inputs)["num_tokens"].max() >= min(num_new_tokens, 2):
                break
        asked.append((signature.name, inputs))
    return asked


def write_warmup(folder: Path, requests: list[Any]) -> None:
    """Write requests as the records that a server reads when it loads the model.

    Args:
        folder: of the SavedModel.
        requests: PredictRequests, 1000 at most.
    """
    if len(requests) > MAX_RECORDS:
        raise ValueError(f"{len(requests)} warm-up requests, and a server takes {MAX_RECORDS}")
    with atomic_file(folder / WARMUP_FILE) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for request in requests:
            writer.write(prediction_log(request).SerializeToString())


def _answer(model: Any, signature: Signature, inputs: Arrays) -> Arrays:
    tensors = {name: tf.constant(array) for name, array in inputs.items()}
    try:
        outputs = model.signatures[signature.name](**tensors)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        reason = graph_reason(error)
        raise KerasGPTError(
            f"the SavedModel's signature {signature.name} does not answer its example ({reason})"
        ) from error
    answered = {name: tensor.numpy() for name, tensor in outputs.items()}
    for row_error in filter(None, answered.get("error", ())):
        raise KerasGPTError(
            f"the SavedModel's signature {signature.name} does not answer its example ({row_error.decode()})"
        )
    return answered
