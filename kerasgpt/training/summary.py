"""What came of a run, in a few numbers: its losses, its speed, and the score on text it never saw."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasgpt.data.packing import PackedCorpus
from kerasgpt.errors import UsageError
from kerasgpt.models.language_model import open_model
from kerasgpt.tasks import language_modeling
from kerasgpt.tasks.files.documents import Document
from kerasgpt.tokenizer.bpe import Tokenizer
from kerasgpt.training.config import Recipe
from kerasgpt.training.journal import finite
from kerasgpt.training.losses import bits_per_byte, perplexity
from kerasgpt.training.material import Material
from kerasgpt.training.resume import RunState

SCORES = ("loss", "perplexity", "bits_per_byte")


def sum_up(
    model: Path,
    recipe: Recipe,
    corpus: Material,
    state: RunState,
    refit: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Sum up a run, and score the test part, once, with its best model.

    Args:
        model: folder of the best model.
        recipe: of the run.
        corpus: its data.
        state: after the last step.
        refit: the summary of the refit, if there was one: the test is scored there, with its model, and
            the validation figures stay those of the model that was chosen.

    Returns:
        What summary.json holds, flat: losses in nats per token, ``test_*`` where there is a test part. What
        is not finite, as a perplexity may be, is left out.

    Raises:
        KerasGPTError: the model or the data cannot be read any more.
    """
    tokens = state.tokens_seen(recipe.train)
    summary: dict[str, Any] = {
        "steps": state.step,
        "best_step": state.best_step if state.best_loss is not None else state.step,
        "train_loss": state.train_loss,
        "tokens_seen": tokens,
        "seconds": round(state.seconds, 2),
        "tokens_per_second": round(tokens / max(state.training_seconds, 1e-9), 1),
        # Examples of a task go where their hashes say, whatever the setting.
        "split": "document" if recipe.task.name else recipe.data.split,
    }
    if state.best_loss is not None and corpus.num_labels("validation"):
        size = corpus.sizes["validation"]
        summary |= {
            "validation_loss": state.best_loss,
            "validation_perplexity": perplexity(state.best_loss),
            "validation_bits_per_byte": bits_per_byte(
                state.best_loss, corpus.num_labels("validation"), size.num_bytes
            ),
        }
    if refit:
        summary |= {name: value for name, value in refit.items() if name in _prefixed("test", SCORES)}
        summary |= {"refit_steps": refit["steps"], "refit_train_loss": refit["train_loss"]}
        summary["tokens_seen"] += refit["tokens_seen"]
        summary["seconds"] = round(summary["seconds"] + refit["seconds"], 2)
    elif isinstance(corpus, PackedCorpus) and corpus.sizes["test"].num_tokens:
        summary |= _score_test(model, corpus)
    if recipe.data.deduplicate:
        summary["duplicate_documents"] = corpus.num_duplicates
    for part, size in corpus.sizes.items():
        summary |= {f"{part}_bytes": size.num_bytes, f"{part}_tokens": size.num_tokens}
    return finite(summary)


def _prefixed(prefix: str, names: tuple[str, ...]) -> list[str]:
    return [f"{prefix}_{name}" for name in names]


def _test_documents(corpus: PackedCorpus, tokenizer: Tokenizer) -> Iterator[Document]:
    """The documents of the test part, one at a time; its first may be the end of one that began before."""
    ids = corpus.ids("test")
    starts = np.unique([0, *corpus.document_starts("test").tolist(), len(ids)])
    for start, end in itertools.pairwise(starts.tolist()):
        text = tokenizer.decode(ids[start:end].tolist())
        if text.strip():
            yield Document(text, "the test part")


def _score_test(model: Path, corpus: PackedCorpus) -> dict[str, float]:
    lm = open_model(model)
    try:
        metrics = language_modeling.evaluate_documents(lm, _test_documents(corpus, lm.tokenizer))
    except UsageError:  # white space alone: there is nothing to be scored, and the run is done all the same
        return {}
    return dict(zip(_prefixed("test", SCORES), (metrics[name] for name in SCORES), strict=True))
