"""The signature of a model that was fine-tuned on a task: its fields in, answers out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasgpt.in_graph.generation import Words
from kerasgpt.in_graph.requests import greedy_request, harmless
from kerasgpt.tasks.templates import TaskTemplate

ContinueIds = Callable[[Any, Any, Any], dict[str, Any]]
"""Ragged ids, request and errors of the rows -> outputs, see `kerasgpt.in_graph.signatures`."""


def answering(continue_ids: ContinueIds, words: Words, template: TaskTemplate, context: int) -> Any:
    """Make the function ``answer``: the template's fields, string (B,) each -> answer and error, string (B,).

    It writes greedily, as `kerasgpt.tasks.asking.ask` does unless told otherwise, and leaves ASCII's white
    space at both ends out. A row whose prompt leaves no room for an answer has an error in its place: to
    shorten a field, as the package does in Python, is left to the client.

    Args:
        continue_ids: the generator.
        words: tokenizer and end of text.
        template: of the task.
        context: of the model.
    """
    longest = template.max_new_tokens
    room = context - longest
    too_long = (
        f"the prompt has more than {room} tokens, which is what the context has room for:"
        f" shorten its {template.long_field}"
    )

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name) for name in template.fields]
    )
    def answer(*fields: Any) -> dict[str, Any]:
        given = dict(zip(template.fields, fields, strict=True))
        parts = [part for text, name in template.pieces for part in (text, given[name] if name else "")]
        prompts = tf.strings.join(parts)
        ids, request = words.tokenizer.encode(prompts), greedy_request(tf.size(prompts), longest)
        lengths = ids.row_lengths()
        error = tf.where(lengths > room, too_long, "")
        fits = error == ""
        fitting = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(ids.flat_values, tf.repeat(fits, lengths)), tf.where(fits, lengths, 0)
        )
        outputs = continue_ids(fitting, harmless(request, error), error)
        return {"answer": tf.strings.strip(outputs["text"]), "error": outputs["error"]}

    return answer
