"""How well a model predicts texts: loss, perplexity, bits per byte and per character, words if wanted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kerasgpt.errors import UsageError, unknown_name
from kerasgpt.protocols import LanguageModel
from kerasgpt.tasks.base import Counts, Figures, Outcome, totals
from kerasgpt.tasks.files.detokenizers import DETOKENIZERS
from kerasgpt.tasks.files.documents import Document, parted, read_documents
from kerasgpt.tasks.stretches import Stretch, stretches

LARGEST_EXPONENT = 700.0  # above this a float overflows
TOKENS_TOGETHER = 200_000  # of documents that are scored at once


def evaluate(
    lm: LanguageModel, text: str, *, window: int | None = None, stride: int | None = None
) -> Figures:
    """Score a text, each of its bytes once.

    Where lines that are ``<|endoftext|>`` part it into documents, each is scored as if there were no other.
    The first token of each is conditioned on ``<|endoftext|>``. A window then slides over the tokens: each
    step scores `stride` new ones, conditioned on as many before them as the window has room for.

    Args:
        lm: any engine.
        text: not empty, nor white space alone.
        window: tokens read at once; None means the model's context.
        stride: tokens scored a step; None means half of the window. Smaller gives each token more
            context, and costs more.

    Returns:
        ``loss`` (nats per token), ``perplexity`` (its exponential), ``bits_per_byte`` (of the text's
        UTF-8 form: unlike the others comparable across tokenizers), ``bits_per_character``, and
        ``num_tokens``, ``num_bytes``, ``num_characters``.

    Raises:
        UsageError: the text is empty, or window or stride is out of range.
    """
    return evaluate_documents(lm, parted(text, "the text"), window=window, stride=stride)


def evaluate_documents(
    lm: LanguageModel, documents: Iterable[Document], *, window: int | None = None, stride: int | None = None
) -> Figures:
    """Score documents as `evaluate` scores those of a text, in memory that their number does not raise.

    Args:
        lm: any engine.
        documents: read once, as a stream.
        window: tokens read at once; None means the model's context.
        stride: tokens scored a step; None means half of the window.

    Raises:
        UsageError: there is none, or window or stride is out of range.
    """
    task = LanguageModeling(window=window, stride=stride)
    steps = task.steps(lm)
    outcomes: list[Outcome] = []
    waiting: list[Stretch] = []
    num_tokens = 0
    for document in documents:
        parts = stretches(document, lm, *steps)
        waiting += parts
        num_tokens += sum(map(task.size, parts))
        if num_tokens >= TOKENS_TOGETHER:
            outcomes += task.answer(lm, waiting)
            waiting, num_tokens = [], 0
    outcomes += task.answer(lm, waiting)
    if not outcomes:
        raise UsageError("the text to evaluate is empty: give one with at least one word")
    return task.metrics(totals(outcomes))


@dataclass(frozen=True)
class LanguageModeling:
    """A language model's loss on texts; see `kerasgpt.tasks.base.Task`.

    Args:
        window: tokens read at once; None means the model's context.
        stride: tokens scored a step, each conditioned on the rest of the window before them; None means half
            of the window.
        level: ``"token"``: each file is one text, scored from end to end, and an example is a step of the
            window. ``"document"``: each document is scored from ``<|endoftext|>`` on, as if there were no
            other, and is an example; the figures then also say what the mean document costs.
        detokenizer: ``"wikitext"`` or ``"ptb"``, for files whose words were taken apart: the text is put
            together again before it is scored, and the nats are also counted by the words that the file has,
            as in the paper on GPT-2 (Radford et al. 2019, section 3.1).

    Raises:
        UsageError: no such level or detokenizer.
    """

    window: int | None = None
    stride: int | None = None
    level: Literal["token", "document"] = "token"
    detokenizer: str | None = None

    name = "language_modeling"

    def __post_init__(self) -> None:
        if self.level not in ("token", "document"):
            raise unknown_name("level", self.level, ("token", "document"))
        if self.detokenizer is not None and self.detokenizer not in DETOKENIZERS:
            raise unknown_name("detokenizer", self.detokenizer, DETOKENIZERS)

    def steps(self, lm: LanguageModel) -> tuple[int, int]:
        """Window and stride, in tokens.

        Raises:
            UsageError: one is out of range for this model.
        """
        context = lm.max_sequence_length
        window = context if self.window is None else self.window
        stride = max(window // 2, 1) if self.stride is None else self.stride
        if not 1 <= window <= context:
            raise UsageError(f"window is {window}: it must be from 1 to the context of {context}")
        if not 1 <= stride <= window:
            raise UsageError(f"stride is {stride}: it must be from 1 to the window of {window}")
        return window, stride

    def read(self, paths: Sequence[str | Path], lm: LanguageModel) -> list[Stretch]:
        """Divide the files' texts into what is scored together."""
        window, stride = self.steps(lm)
        whole = self.level == "document"
        found = []
        for path in paths:
            for document in read_documents(path, self.detokenizer, apart=whole):
                found += stretches(document, lm, window, stride, whole=whole)
        return found

    def size(self, example: Stretch) -> int:
        """Tokens read, the longest window counting."""
        return max(len(part.before) + len(part.scored) for part in example.parts)

    def answer(self, lm: LanguageModel, examples: Sequence[Stretch]) -> list[Outcome]:
        """Score stretches of text."""
        parts = [part for example in examples for part in example.parts]
        scores = iter(
            lm.score([part.before.tolist() for part in parts], [part.scored.tolist() for part in parts])
        )
        outcomes = []
        for example in examples:
            nats = -math.fsum(next(scores).logprob for _ in example.parts)
            counts = {"nats": nats, "tokens": example.num_tokens, **example.counts}
            if self.level == "document":
                counts |= {"documents": 1, "document_losses": nats / example.num_tokens}
            outcomes.append(Outcome(counts))
        return outcomes

    def metrics(self, counts: Counts) -> Figures:
        """Loss and what follows from it; words only where a detokenizer says what one is."""
        nats, loss = counts["nats"], _ratio(counts["nats"], counts["tokens"])
        figures = {
            "loss": loss,
            "perplexity": _exp(loss),
            "bits_per_byte": _ratio(nats / math.log(2), counts["bytes"]),
            "bits_per_character": _ratio(nats / math.log(2), counts["characters"]),
        }
        numbers = ["tokens", "bytes", "characters"]
        if self.detokenizer is not None:
            words, line_ends = counts["words"], counts["line_ends"]
            figures["word_perplexity"] = _exp(_ratio(nats, words))
            figures["word_perplexity_with_line_ends"] = _exp(_ratio(nats, words + line_ends))
            numbers += ["words", "line_ends"]
        if self.level == "document":
            figures["document_loss"] = _ratio(counts["document_losses"], counts["documents"])
            figures["document_perplexity"] = _exp(figures["document_loss"])
            numbers.append("documents")
        return {**figures, **{f"num_{name}": counts[name] for name in numbers}}

    def baselines(self, examples: Sequence[Stretch]) -> Mapping[str, Sequence[Outcome]]:
        """None: bits per byte speak for themselves."""
        return {}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _exp(value: float) -> float:
    return math.exp(min(value, LARGEST_EXPONENT))
