"""How well a model predicts a text: loss, perplexity and bits per byte."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from kerasgpt.errors import UsageError
from kerasgpt.protocols import LanguageModel


def evaluate(
    lm: LanguageModel, text: str, *, window: int | None = None, stride: int | None = None
) -> dict[str, float]:
    """Score a text, each of its bytes once.

    The first token is conditioned on ``<|endoftext|>``. A window then slides over the tokens: each step
    scores `stride` new ones, conditioned on as many before them as the window has room for.

    Args:
        lm: any engine.
        text: not empty.
        window: tokens read at once; None means the model's context.
        stride: tokens scored a step; None means half of the window. Smaller gives each token more
            context, and costs more.

    Returns:
        ``loss`` (nats per token), ``perplexity`` (its exponential), ``bits_per_byte`` (of the text's
        UTF-8 form: unlike the others comparable across tokenizers), ``num_tokens``, ``num_bytes``.

    Raises:
        UsageError: the text is empty, or window or stride is out of range.
    """
    window = lm.max_sequence_length if window is None else window
    stride = max(window // 2, 1) if stride is None else stride
    if not 1 <= window <= lm.max_sequence_length:
        raise UsageError(f"window is {window}: it must be from 1 to the context of {lm.max_sequence_length}")
    if not 1 <= stride <= window:
        raise UsageError(f"stride is {stride}: it must be from 1 to the window of {window}")
    if not text:
        raise UsageError("the text to evaluate is empty: give one with at least one character")
    ids = lm.tokenizer.encode(text)
    parts = list(split([lm.tokenizer.end_of_text_id, *ids], window, stride))
    scores = lm.score([prompt for prompt, _ in parts], [rest for _, rest in parts])
    nats = -math.fsum(score.logprob for score in scores)
    num_bytes = len(text.encode("utf-8"))
    loss = nats / len(ids)
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),  # above this a float overflows
        "bits_per_byte": nats / math.log(2) / num_bytes,
        "num_tokens": len(ids),
        "num_bytes": num_bytes,
    }


def split(ids: Sequence[int], window: int, stride: int) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Cut ids into (what is read before, what is scored): all but the first are scored, each once.

    The first part scores a whole window, since nothing before it is left out; the model reads every
    token of a part but the last, `window` at most.

    >>> list(split([0, 1, 2, 3, 4, 5, 6], window=4, stride=2))
    [([0], [1, 2, 3, 4]), ([2, 3, 4], [5, 6])]
    """
    begin, end = 1, min(1 + window, len(ids))
    while begin < len(ids):
        yield ids[max(end - 1 - window, 0) : begin], ids[begin:end]
        begin, end = end, min(end + stride, len(ids))
