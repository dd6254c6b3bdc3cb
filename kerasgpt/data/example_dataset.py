"""ExampleDataset: batches of prompts and answers in which the answers alone have weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.examples import Examples, fill_rows
from kerasgpt.data.stepwise import Batch, StepwiseDataset, require_seed
from kerasgpt.errors import KerasGPTError


class ExampleDataset(StepwiseDataset):
    """Rows of T tokens that hold one example each, or as many as fit, in batches, for `fit` and `evaluate`.

    A label has weight 1 if it is of an answer or the end of text behind it, `prompt_weight` if it is of a
    prompt, and 0 if it is of padding. Examples of one row do not see one another: ``segment_ids`` keep them
    apart, and positions begin anew with each, as if it were alone. Which examples share a row is always the
    same; the rows of an epoch come in an order of its own, so that a batch depends only on the examples, the
    seed and the step.

    Args:
        examples: none with more than T tokens before its last.
        sequence_length: T, tokens of a row.
        batch_size: B, rows of a batch.
        seed: of the orders; None means as they are, every epoch.
        pack: whether a row holds as many examples as fit; the inputs are then a dict for a model that takes
            ``segment_ids``. Else each row is one example and padding.
        prompt_weight: of labels that are of a prompt; 0 means that answers alone are learned.
        first_step: global step of the first batch.
        num_steps: batches it has; None means one epoch.
        rows: the first row of each batch that is wanted, and the one after the last: of several processes
            each reads its own. None means all.

    Raises:
        UsageError: a size is below 1, or the seed below 0.
        KerasGPTError: there is no example.
    """

    def __init__(
        self,
        examples: Examples,
        sequence_length: int,
        batch_size: int,
        seed: int | None = 0,
        *,
        pack: bool = True,
        prompt_weight: float = 0.0,
        first_step: int = 0,
        num_steps: int | None = None,
        rows: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(sequence_length, batch_size, first_step, num_steps)
        require_seed(seed)
        if not len(examples):
            raise KerasGPTError("this part of the data holds no example: give more data or a larger fraction")
        self.examples = examples
        self.seed = seed
        self.pack = pack
        self.prompt_weight = prompt_weight
        self.rows = rows or (0, batch_size)
        lengths = examples.input_lengths
        self.filled = (
            fill_rows(lengths, sequence_length) if pack else [[each] for each in range(len(lengths))]
        )
        self.steps_per_epoch = -(-len(self.filled) // batch_size)
        self._ordered: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def batch(self, step: int) -> Batch:
        """The batch of a global step, whatever was asked for before."""
        epoch, place = divmod(step, self.steps_per_epoch)
        first, last = self.rows
        numbers = self._order(epoch)[place * self.batch_size :][first:last]
        shape = (last - first, self.sequence_length)
        ids, labels, segments, positions = np.zeros((4, *shape), np.int32)
        weights = np.zeros(shape, np.float32)
        for row, number in enumerate(numbers.tolist()):
            end = 0
            for segment, member in enumerate(self.filled[number]):
                tokens, num_prompt_tokens = self.examples[member]
                begin, end = end, end + len(tokens) - 1
                ids[row, begin:end], labels[row, begin:end] = tokens[:-1], tokens[1:]
                weights[row, begin:end] = self.prompt_weight
                weights[row, begin + num_prompt_tokens - 1 : end] = 1.0
                segments[row, begin:end], positions[row, begin:end] = segment, np.arange(end - begin)
            segments[row, end:] = len(self.filled[number])  # padding is a document of its own
        if not self.pack:
            return ids, labels, weights
        return {"token_ids": ids, "segment_ids": segments, "position_ids": positions}, labels, weights

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Numbers of the rows of an epoch; the last one asked for is kept."""
        if self.seed is None:
            return np.arange(len(self.filled))
        if self._ordered[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.filled))
            self._ordered = (epoch, order)
        return self._ordered[1]


def require_rows(dataset: ExampleDataset, names: Sequence[object]) -> None:
    """Refuse to train on less than one batch.

    Raises:
        KerasGPTError: there are fewer rows.
    """
    if len(dataset.filled) < dataset.batch_size:
        raise KerasGPTError(
            f"{', '.join(map(str, names))}: the {len(dataset.examples)} examples to train on fill"
            f" {len(dataset.filled)} rows of {dataset.sequence_length} tokens, and one batch takes"
            f" {dataset.batch_size}: give more examples or a smaller batch size"
        )
