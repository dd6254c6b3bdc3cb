"""Parity: what the trained model answered, recorded once, and how far another engine is from it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from kerasgpt.atomic import atomic_file
from kerasgpt.config import GenerationConfig
from kerasgpt.errors import KerasGPTError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.stopping import fit_prompt
from kerasgpt.generation.texts import pad_right
from kerasgpt.protocols import Ids, LanguageModel, Logits, StepModel

LOGIT_TOLERANCE = 1e-4
"""Largest difference of a float32 logit; a greedy step whose two best logits lie closer is exempt."""

NUM_TOP_LOGITS = 16

PROMPTS = (
    "",
    "The",
    "ROMEO:\nBut soft, what light through yonder window",
    "Once upon a time, in a land far away,\n\nthere was a café: naïve, 北京, 🙂.",
    "def main(x):\n    return x + 1\n",
)
"""What parity is measured on: ragged, with an empty one, line breaks, and bytes beyond ASCII."""


@dataclass(frozen=True)
class Reference:
    """The trained model's answers to `PROMPTS`, decoded greedily.

    Attributes:
        ids: int64 (B, S), each prompt followed by its greedy continuation, padded on the right.
        prompt_lengths: int64 (B,).
        lengths: int64 (B,), prompt and continuation.
        prompts: the B prompts as text.
        texts: the B continuations as text.
        top_ids: int64 (B, S, 16), the most probable next tokens at each position, best first.
        top_logits: float32 (B, S, 16), their logits.
        settings: how the continuations were generated.
    """

    ids: Ids
    prompt_lengths: Ids
    lengths: Ids
    prompts: list[str]
    texts: list[str]
    top_ids: Ids
    top_logits: Logits
    settings: GenerationConfig

    @property
    def continuations(self) -> list[list[int]]:
        """The greedy ids."""
        spans = zip(self.ids, self.prompt_lengths, self.lengths, strict=True)
        return [row[start:end].tolist() for row, start, end in spans]

    @property
    def margins(self) -> NDArray[np.float32]:
        """How far the best logit leads the second at each position, (B, S)."""
        return self.top_logits[..., 0] - self.top_logits[..., 1]

    @property
    def read(self) -> NDArray[np.bool_]:
        """Which positions count, (B, S)."""
        return np.arange(self.ids.shape[1]) < self.lengths[:, None]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as an .npz without pickles."""
        settings = asdict(self.settings)
        words = json.dumps({"prompts": self.prompts, "texts": self.texts, "settings": settings}).encode()
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                ids=self.ids,
                prompt_lengths=self.prompt_lengths,
                lengths=self.lengths,
                top_ids=self.top_ids.astype(np.int32),
                top_logits=self.top_logits,
                words=np.frombuffer(words, np.uint8),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            KerasGPTError: the file is missing or damaged.
        """
        try:
            with np.load(Path(path), allow_pickle=False) as arrays:
                words = json.loads(arrays["words"].tobytes())
                return cls(
                    arrays["ids"],
                    arrays["prompt_lengths"],
                    arrays["lengths"],
                    words["prompts"],
                    words["texts"],
                    arrays["top_ids"].astype(np.int64),
                    arrays["top_logits"],
                    GenerationConfig(**{**words["settings"], "stop": tuple(words["settings"]["stop"])}),
                )
        except (OSError, KeyError, TypeError, ValueError, EOFError) as error:
            raise KerasGPTError(f"{path}: cannot read the recorded answers ({error})") from error


def record(
    lm: StepLanguageModel, settings: GenerationConfig | None = None, prompts: Sequence[str] = PROMPTS
) -> tuple[Reference, Logits]:
    """Ask the trained model: its greedy text, then its logits at each position, read without the cache.

    Args:
        lm: the Keras model.
        settings: of the decoding, which is greedy in any case; None means the model's own.
        prompts: texts.

    Returns:
        The reference, and the logits at all positions, float32 (B, S, V).
    """
    limit = (settings or lm.settings).max_new_tokens
    greedy = GenerationConfig(max_new_tokens=limit)
    read = [lm.tokenizer.encode(prompt) or [lm.tokenizer.end_of_text_id] for prompt in prompts]
    read = [ids[-fit_prompt(len(ids), limit, lm.max_sequence_length) :] for ids in read]
    generations = lm.generate(read, greedy)
    written = [generation.token_ids for generation in generations]
    padded, lengths = pad_right([[*pair[0], *pair[1]] for pair in zip(read, written, strict=True)])
    logits = lm.model.all_logits(padded, lengths)
    top_ids = np.argsort(-logits, axis=-1, kind="stable")[..., :NUM_TOP_LOGITS].astype(np.int64)
    reference = Reference(
        padded,
        np.array([generation.num_prompt_tokens for generation in generations], np.int64),
        lengths,
        list(prompts),
        [generation.text for generation in generations],
        top_ids,
        np.take_along_axis(logits, top_ids, axis=-1),
        greedy,
    )
    return reference, logits


@dataclass(frozen=True)
class Parity:
    """How far an engine is from the reference; the export stands when `problems` is empty.

    Attributes:
        max_logit_error: largest absolute difference of a logit, all positions read at once.
        max_cached_logit_error: the same, read token by token with the cache; None where there is none.
        num_tokens_compared: greedy tokens compared.
        num_near_ties: rows that part at a step whose two best logits lie within the tolerance.
        problems: one sentence for each way in which the engine differs.
    """

    max_logit_error: float
    max_cached_logit_error: float | None
    num_tokens_compared: int
    num_near_ties: int
    problems: list[str]

    @property
    def holds(self) -> bool:
        """Whether the engine equals the reference."""
        return not self.problems


class EngineWithLogits(LanguageModel, Protocol):
    """A language model that also answers with all its logits."""

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, float32 (B, T, V)."""


def compare_step_model(
    lm: StepLanguageModel, reference: Reference, full_logits: Logits | None = None
) -> Parity:
    """Compare an engine with the reference: logits, cache, greedy ids, batch against one by one.

    Args:
        lm: the engine.
        reference: of the trained model.
        full_logits: the reference's logits at all positions (B, S, V); without them the 16 best count.
    """
    error = logit_error(lm.model.all_logits(reference.ids, reference.lengths), reference, full_logits)
    cached = cached_logit_error(lm.model, reference, full_logits)
    compared, ties, problems = compare_texts(lm, reference)
    problems = logit_problems(cached, "read token by token with the cache, ") + problems
    return Parity(error, cached, compared, ties, logit_problems(error) + problems)


def compare_closed_model(
    lm: EngineWithLogits, reference: Reference, full_logits: Logits | None = None
) -> Parity:
    """Compare an engine whose cache cannot be seen from outside; its greedy text shows that it works."""
    error = logit_error(lm.all_logits(reference.ids, reference.lengths), reference, full_logits)
    compared, ties, problems = compare_texts(lm, reference)
    return Parity(error, None, compared, ties, logit_problems(error) + problems)


def compare_texts(lm: LanguageModel, reference: Reference) -> tuple[int, int, list[str]]:
    """Generate from the prompts' text, together and one by one: tokens compared, near ties, problems."""
    batched = lm.generate(reference.prompts, reference.settings)
    alone = [lm.generate([prompt], reference.settings)[0] for prompt in reference.prompts]
    compared = ties = 0
    problems = []
    for how, generations in (("in a batch", batched), ("alone", alone)):
        for row, generation in enumerate(generations):
            count, tied, problem = compare_ids(reference, row, generation.token_ids)
            if not tied and not problem and generation.text != reference.texts[row]:
                problem = "the ids are equal but their text is not"
            compared, ties = compared + count, ties + tied
            problems += [f"prompt {row} {how}: {problem}"] if problem else []
    return compared, ties, problems


def logit_error(logits: Logits, reference: Reference, full_logits: Logits | None = None) -> float:
    """Largest absolute difference from the reference at the positions that count; NaN stays NaN."""
    if full_logits is None:
        difference = np.take_along_axis(logits, reference.top_ids, axis=-1) - reference.top_logits
    else:
        difference = logits - full_logits
    return float(np.abs(difference[reference.read]).max())


def cached_logit_error(model: StepModel, reference: Reference, full_logits: Logits | None = None) -> float:
    """The same, all rows in one batch: the prompts read at once, then token by token as written."""
    width = int(reference.prompt_lengths.max())
    state, logits = model.prefill(reference.ids[:, :width], reference.prompt_lengths)
    rows, position = np.arange(len(reference.ids)), reference.prompt_lengths - 1
    worst = 0.0
    while True:
        worst = float(np.maximum(worst, _error_at(logits, reference, full_logits, rows, position)))
        running = np.flatnonzero(position + 1 < reference.lengths[rows])
        if not running.size:
            return worst
        if running.size < rows.size:
            state, rows, position = model.reorder(state, running), rows[running], position[running]
        position = position + 1
        state, logits = model.step(state, reference.ids[rows, position])


def _error_at(
    logits: Logits, reference: Reference, full_logits: Logits | None, rows: Ids, position: Ids
) -> float:
    """Largest difference of logits (R, V) from the reference's at one position of each of R rows."""
    if full_logits is None:
        chosen = np.take_along_axis(logits, reference.top_ids[rows, position], axis=-1)
        return float(np.abs(chosen - reference.top_logits[rows, position]).max())
    return float(np.abs(logits - full_logits[rows, position]).max())


def logit_problems(error: float, how: str = "") -> list[str]:
    """A sentence if the error is above the tolerance, or not a number."""
    if error <= LOGIT_TOLERANCE:
        return []
    return [f"{how}a logit differs by {error:.3g}, allowed are {LOGIT_TOLERANCE:g}"]


def compare_ids(reference: Reference, row: int, ids: Sequence[int]) -> tuple[int, int, str]:
    """Compare one row's greedy ids: tokens compared, near ties met (0 or 1), and the problem, if any."""
    expected = reference.continuations[row]
    if list(ids) == expected:
        return len(expected), 0, ""
    pairs = zip(expected, ids, strict=False)
    step = next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(expected), len(ids)))
    margin = reference.margins[row, reference.prompt_lengths[row] - 1 + step]
    if step < len(expected) and step < len(ids) and margin < LOGIT_TOLERANCE:
        return step, 1, ""
    return step, 0, f"greedy decoding parts at token {step}, where the best logit leads by {margin:.3g}"
