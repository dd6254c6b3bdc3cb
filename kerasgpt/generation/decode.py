"""THE loop: prompts -> tokens, one step at a time, for every engine that implements StepModel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kerasgpt.generation.batch import Batch
from kerasgpt.generation.chooser import settings_of_rows
from kerasgpt.generation.prefill import Prefill
from kerasgpt.generation.rows import EndsText, Row, Token
from kerasgpt.generation.samplers import Seeds, seeds_of_rows
from kerasgpt.protocols import Settings, StepModel


def decode(
    model: StepModel,
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    end_of_text_id: int,
    *,
    row_seeds: Seeds | None = None,
    ends_text: EndsText | None = None,
    prefill: Prefill | None = None,
) -> Iterator[list[Token]]:
    """Continue prompts together; a row that has ended is dropped and costs nothing more.

    Args:
        model: any engine.
        prompts: ids, each with at least one and fewer than the model's context; lengths may differ.
        settings: of all rows, or one for each. Beam search is another loop.
        end_of_text_id: the token that ends a row.
        row_seeds: uint64 (B,) of the sampling; None means each row's seed + index.
        ends_text: asked after each token about stop strings.
        prefill: which reads the prompts; None means one that remembers nothing.

    Yields:
        For each step, one token of each row still running.
    """
    each = settings_of_rows(settings, len(prompts))
    seeds = seeds_of_rows(own.seed for own in each) if row_seeds is None else row_seeds
    columns = range(len(prompts)), prompts, each, seeds.tolist()
    rows = [Row(*values, model.max_sequence_length) for values in zip(*columns, strict=True)]
    rows = [row for row in rows if row.limit]
    if not rows:
        return
    batch = Batch(model, end_of_text_id, ends_text)
    yield batch.add(rows, *(prefill or Prefill(model)).read([row.prompt for row in rows]))
    while len(batch):
        yield batch.step()
