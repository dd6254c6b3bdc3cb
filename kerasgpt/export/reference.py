"""The reference: what the trained model answered, recorded once, for every engine to be compared with."""

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
from kerasgpt.errors import KerasGPTError
from kerasgpt.generation.language_model import StepLanguageModel
from kerasgpt.generation.stopping import fit_prompt
from kerasgpt.generation.texts import pad_right
from kerasgpt.generation_config import GenerationConfig
from kerasgpt.protocols import Ids, Logits

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
        signed_sums: float64 (B, S), see `signed_sums`: all the other logits in one number.
        context_ids: int64 (P,), tokens from all over the vocabulary that fill the whole context.
        context_sums: float64 (P,), the signed sums after each of them.
        spread: see `spread_of`, of the positions that count; 0 in a record that has none.
        settings: how the continuations were generated.
    """

    ids: Ids
    prompt_lengths: Ids
    lengths: Ids
    prompts: list[str]
    texts: list[str]
    top_ids: Ids
    top_logits: Logits
    signed_sums: NDArray[np.float64]
    context_ids: Ids
    context_sums: NDArray[np.float64]
    spread: float
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
                signed_sums=self.signed_sums,
                context_ids=self.context_ids,
                context_sums=self.context_sums,
                spread=self.spread,
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
                    arrays["signed_sums"],
                    arrays["context_ids"],
                    arrays["context_sums"],
                    float(arrays["spread"]) if "spread" in arrays else 0.0,
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
    context_ids = np.linspace(0, logits.shape[-1] - 1, lm.max_sequence_length).astype(np.int64)
    top_ids = best_ids(logits, NUM_TOP_LOGITS)
    reference = Reference(
        padded,
        np.array([generation.num_prompt_tokens for generation in generations], np.int64),
        lengths,
        list(prompts),
        [generation.text for generation in generations],
        top_ids,
        np.take_along_axis(logits, top_ids, axis=-1),
        signed_sums(logits),
        context_ids,
        context_sums(lm.model, context_ids),
        spread_of(logits, lengths),
        greedy,
    )
    return reference, logits


class HasLogits(Protocol):
    """Whatever answers with all its logits."""

    def all_logits(self, ids: Ids, lengths: Ids) -> Logits:
        """Logits at every position, float32 (B, T, V)."""


def context_sums(model: HasLogits, ids: Ids) -> NDArray[np.float64]:
    """The signed sums (P,) after each of the ids (P,)."""
    return signed_sums(model.all_logits(ids[None], np.array([len(ids)]))[0])


def spread_of(logits: Logits, lengths: Ids) -> float:
    """The standard deviation of a position's logits, float32 (B, T, V): the root mean square of those read.

    Half of what lies between the 16th and the 84th percentile, which a few logits that mask their tokens,
    as -1e9, do not move. Rounding errors of a float32 model grow with it, for both come of the same products
    with a token's embedding; what all logits of a position have in common, as the -100 of OpenAI's models,
    adds to neither.
    """
    pairs = zip(logits, lengths, strict=True)
    read = (position for row, length in pairs for position in row[:length])
    spans = [np.subtract(*np.percentile(position.astype(np.float64), (84.13, 15.87))) for position in read]
    return float(np.sqrt(np.mean(np.square(spans)))) / 2


def best_ids(logits: Logits, count: int) -> Ids:
    """The ids of the highest logits (..., V), best first: int64 (..., count)."""
    count = min(count, logits.shape[-1])
    found = np.argpartition(logits, -count, axis=-1)[..., -count:]  # sorting all V would take seconds
    order = np.argsort(-np.take_along_axis(logits, found, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(found, order, axis=-1).astype(np.int64)


def signed_sums(logits: Logits) -> NDArray[np.float64]:
    """Add up the logits (..., V), each with a sign of its own, over sqrt(V) -> (...).

    A random projection: rounding errors of all V logits add up to about one of them, while a token that
    is never among the best, whose embedding was altered, still moves the sum.
    """
    size = logits.shape[-1]
    signs = np.random.RandomState(0).choice([-1.0, 1.0], size)  # numpy keeps this stream for ever
    # Row by row: the product is one of float64, and a copy of all logits in it would take gigabytes.
    sums = np.array([row @ signs for row in logits.reshape(-1, size)], np.float64) / np.sqrt(size)
    return sums.reshape(logits.shape[:-1])
