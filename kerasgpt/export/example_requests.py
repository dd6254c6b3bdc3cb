"""Example requests: inputs that make sense to the very model, for whatever signatures it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from kerasgpt.export.signatures import Signature
from kerasgpt.generation.texts import pad_right
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.tasks.templates import FIELDS
from kerasgpt.tokenizer.bpe import Tokenizer

Arrays: TypeAlias = dict[str, np.ndarray[Any, Any]]

STATE_OF: Final = {"decode": "prefill"}
"""A signature that takes what another one gave."""

_WRITTEN_BEFORE_TRAINING: Final = (("Once upon a time", " there was"), ("The end", " of the world"))
_NUM_WORDS: Final = 4
_FREELY: Final = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.02,
    "repetition_penalty": 1.1,
    "seed": 1,
    "stop": b"\n\n",
}
"""How the second row of an example is written; the first is written greedily."""
_GREEDILY: Final = {
    "temperature": 0.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "seed": 0,
    "stop": b"",
}


@dataclass(frozen=True)
class Examples:
    """Two rows of every input by name, their settings as different as those of two callers.

    Attributes:
        values: name -> array (2, ...), whatever the signature it belongs to.
    """

    values: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        texts: list[tuple[str, str]],
        tokenizer: Tokenizer,
        settings: GenerationConfig,
        context: int,
        num_steps: int = 8,
    ) -> Examples:
        """Make them.

        Args:
            texts: two beginnings, each with how it goes on.
            tokenizer: the model's.
            settings: the model's; the first row writes so many tokens, the second half of them.
            context: tokens that a text may have, 2 or more; longer beginnings and ends are cut.
            num_steps: tokens a call of a stream.
        """
        texts = [_within(pair, tokenizer, context) for pair in texts]
        prompts = [prompt for prompt, _ in texts]
        ids, lengths = pad_right([tokenizer.encode(prompt) for prompt in prompts])
        columns = np.arange(ids.shape[1])
        values: dict[str, Any] = {name: [_GREEDILY[name], _FREELY[name]] for name in _FREELY}
        values |= {
            "prompts": [prompt.encode() for prompt in prompts],
            "continuations": [continuation.encode() for _, continuation in texts],
            "input_ids": ids,
            "lengths": lengths,
            "attention_mask": columns < lengths[:, None],
            "max_new_tokens": [settings.max_new_tokens, (settings.max_new_tokens + 1) // 2],
            "num_steps": [num_steps, num_steps],
        }
        values |= dict.fromkeys({name for names in FIELDS.values() for name in names}, values["prompts"])
        return cls(values)

    def shorter(self, max_new_tokens: int) -> Examples:
        """The same, at most so many tokens to be written."""
        limit = np.minimum(self.values["max_new_tokens"], max_new_tokens)
        return Examples({**self.values, "max_new_tokens": limit, "num_steps": limit})

    def with_state(self, state: Mapping[str, Any]) -> Examples:
        """The same, and what a signature gave for them."""
        return Examples({**self.values, **state})

    def inputs(self, signature: Signature) -> Arrays | None:
        """What a signature takes, in its types; None if there is an input that no example is known for."""
        if not set(signature.inputs) <= set(self.values):
            return None
        return {name: spec.array(self.values[name]) for name, spec in signature.inputs.items()}


def texts_of(model: Any) -> list[tuple[str, str]]:
    """Two beginnings in the model's own language, as it writes them itself, each with how it goes on.

    Args:
        model: `tf.saved_model.load`'s; its signature ``generate`` is asked.

    Returns:
        Of a model that has learned no words yet, some English ones.
    """
    generate = model.signatures.get("generate")
    if generate is None:
        return list(_WRITTEN_BEFORE_TRAINING)
    rows = 4
    names = generate.structured_input_signature[1]
    given = {
        "prompts": [b""] * rows,
        "max_new_tokens": [40] * rows,
        **{k: [v] * rows for k, v in _FREELY.items()},
    }
    given |= {"seed": list(range(rows)), "stop": [b""] * rows}
    dtypes = {name: spec.dtype.as_numpy_dtype for name, spec in names.items()}
    written = generate(**{name: np.asarray(given[name], dtypes[name]) for name in names})["text"].numpy()
    own = [pair for text in written if (pair := _split(text.decode("utf-8", "replace")))]
    return (own + list(_WRITTEN_BEFORE_TRAINING))[:2]


def _within(texts: tuple[str, str], tokenizer: Tokenizer, context: int) -> tuple[str, str]:
    """A beginning and how it goes on, cut where together they have more tokens than the context."""
    sizes = [len(tokenizer.encode(text)) for text in texts]
    if sum(sizes) <= context:
        return texts
    after = min(sizes[1], context // 2)
    return _cut(texts[0], tokenizer, context - after), _cut(texts[1], tokenizer, after)


def _cut(text: str, tokenizer: Tokenizer, most: int) -> str:
    """The beginning of a text that has so many tokens at most; a letter if even its first is too much."""
    while len(tokenizer.encode(text)) > most:
        text = text[:-1]
    return text or "a"


def _split(text: str) -> tuple[str, str] | None:
    """The first words of a text, and those after them; None where there are no words to speak of."""
    words = text.split()
    begun, after = " ".join(words[:_NUM_WORDS]), " ".join(words[_NUM_WORDS : 2 * _NUM_WORDS])
    readable = after and (begun + after).isprintable() and "\ufffd" not in begun + after
    return (begun, f" {after}") if readable else None
