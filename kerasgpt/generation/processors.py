"""logits -> logits: all that a request asks for, in the order of Hugging Face's processors and warpers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasgpt.generation import constraints, filters, penalties
from kerasgpt.generation.texts import Text
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Logits


def process(logits: Logits, settings: GenerationConfig, texts: Sequence[Text], end_of_text_id: int) -> Logits:
    """Apply a request's settings: bias, penalties, constraints; then, unless greedy, the filters.

    Where the constraints leave a row no token at all, end of text is let through.

    Args:
        logits: float32 (B, V), as the model gave them; in beam search log-probabilities.
        settings: of the request, the same for each row.
        texts: B of them.
        end_of_text_id: the token that ends a row.

    Returns:
        float32 (B, V).

    >>> logits = np.array([[1.0, 2.0, 4.0]], np.float32)
    >>> texts = [Text(np.array([2, 1]), num_prompt_tokens=1)]
    >>> process(logits, GenerationConfig(repetition_penalty=2.0), texts, 0).tolist()
    [[1.0, 1.0, 2.0]]
    >>> process(logits, GenerationConfig(temperature=2.0, top_k=2), texts, 0).tolist()
    [[-inf, 1.0, 2.0]]
    """
    rows = list(logits)
    heeding = [heed(row, settings, text, end_of_text_id) for row, text in zip(rows, texts, strict=True)]
    if any(new is not old for new, old in zip(heeding, rows, strict=True)):
        logits = np.stack(heeding)
    return logits if settings.is_greedy else filtered(logits, settings)


def heed(logits: Logits, settings: GenerationConfig, text: Text, end_of_text_id: int) -> Logits:
    """Apply what depends on the text to its row (V,); the very array given, if nothing does."""
    given = logits
    if settings.logit_bias:
        logits = penalties.logit_bias(logits, settings.logit_bias)
    if settings.repetition_penalty != 1:
        logits = penalties.repetition_penalty(logits, text.ids, settings.repetition_penalty)
    if settings.presence_penalty or settings.frequency_penalty:
        amounts = settings.presence_penalty, settings.frequency_penalty
        logits = penalties.occurrence_penalty(logits, text.continuation, *amounts)
    if settings.no_repeat_ngram_size:
        logits = constraints.forbid_repeated_ngrams(logits, text.ids, settings.no_repeat_ngram_size)
    if settings.bad_words_ids:
        logits = constraints.forbid_words(logits, text.ids, settings.bad_words_ids)
    if _is_too_short(text, settings):
        logits = constraints.forbid(logits, [end_of_text_id])
    if settings.allowed_token_ids:
        logits = constraints.allow(logits, settings.allowed_token_ids)
    if logits is not given and logits.max() == filters.REMOVED:
        return constraints.allow(given, [end_of_text_id])
    return logits


def _is_too_short(text: Text, settings: GenerationConfig) -> bool:
    """Whether end of text is still too early; of both minima that of new tokens counts, as in `generate`."""
    if settings.min_new_tokens:
        return len(text.continuation) < settings.min_new_tokens
    return len(text.ids) < settings.min_length


def filtered(logits: Logits, settings: GenerationConfig) -> Logits:
    """Apply temperature, top-k, top-p, min-p and typical-p, in this order, to logits (..., V)."""
    logits = filters.temperature(logits, settings.temperature)
    if settings.top_k:
        logits = filters.top_k(logits, settings.top_k)
    if settings.top_p < 1:
        logits = filters.top_p(logits, settings.top_p)
    if settings.min_p:
        logits = filters.min_p(logits, settings.min_p)
    return filters.typical_p(logits, settings.typical_p) if settings.typical_p < 1 else logits
