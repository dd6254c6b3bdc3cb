"""Batches for `fit`: windows over token ids, each batch a pure function of the seed and the step."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.mixture import Mixture, require_weights
from kerasgpt.data.packing import pack
from kerasgpt.data.reading import ErrorHandling
from kerasgpt.data.segments import segments_and_positions
from kerasgpt.data.shards import Ids
from kerasgpt.data.splits import PARTS, Part, Split
from kerasgpt.data.stepwise import Batch, StepwiseDataset, require_seed
from kerasgpt.data.windows import Windows, layout
from kerasgpt.errors import KerasGPTError, UsageError, unknown_name
from kerasgpt.tokenizer.bpe import Tokenizer

AnyIds: TypeAlias = Ids | NDArray[np.int64]


class TokenDataset(StepwiseDataset):
    """Windows of T tokens with the token after each, in batches, for `fit` and `evaluate`.

    An epoch covers the ids with windows that begin at multiples of T, moved by an offset of the epoch's
    own; the windows come in an order of the epoch's own, and every id but the first is a label once.
    What a window lacks at the ends of the ids, and a batch at the end of the epoch, is there with
    weight 0, so that all batches have one shape. The labels of a batch depend only on the ids, the
    seed and the step: a run can go on from any step with the batches it would have had.

    Several sequences of ids are mixed by weight (`Mixture`), each with epochs of its own, in which its
    windows lie in a ring, so that all of them are full; an epoch of the whole is then as many windows as
    all of them have.

    Args:
        ids: (num_tokens,), at least 2; or a list of such.
        sequence_length: T, tokens of a window.
        batch_size: B, windows of a batch.
        seed: of the offsets and orders; None means consecutive windows from the beginning, every epoch.
        first_step: global step of the first batch.
        num_steps: batches it has; None means one epoch, and `fit` goes on to the next epoch by itself.
        weights: of the sequences of ids, where there are several.
        end_of_text_id: with which each document begins: given, each is alone in its window for a model that
            takes ``segment_ids``, and the inputs are a dict. None means that documents see those before.
        rows: the first row of each batch that is wanted, and the one after the last: of several processes
            each reads its own. None means all.

    Raises:
        UsageError: a size is below 1, the seed below 0, or weights and ids do not fit together.
        KerasGPTError: there is no id to predict.

    >>> dataset = TokenDataset(np.arange(7), sequence_length=4, batch_size=2, seed=None)
    >>> ids, labels, weights = dataset[0]
    >>> ids.tolist(), labels.tolist(), weights.tolist()[1]
    ([[0, 1, 2, 3], [4, 5, 0, 0]], [[1, 2, 3, 4], [5, 6, 0, 0]], [1.0, 1.0, 0.0, 0.0])
    """

    def __init__(
        self,
        ids: AnyIds | Sequence[AnyIds],
        sequence_length: int,
        batch_size: int,
        seed: int | None = 0,
        *,
        first_step: int = 0,
        num_steps: int | None = None,
        weights: Sequence[float] | None = (),
        end_of_text_id: int | None = None,
        rows: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(sequence_length, batch_size, first_step, num_steps)
        require_seed(seed)
        self.ids = ids
        self.seed = seed
        self.end_of_text_id = end_of_text_id
        self.rows = rows or (0, batch_size)
        sequences: list[Any] = list(ids) if isinstance(ids, list | tuple) else [ids]
        self._mixture = _mixture_of(sequences, () if weights is None else tuple(weights))
        self._windows, self.steps_per_epoch = self._divide(sequences)

    def _divide(self, sequences: Sequence[AnyIds]) -> tuple[list[Windows], int]:
        """Make windows of each sequence; one that is alone fills its last batch with empty ones."""
        length, is_moved = self.sequence_length, self.seed is not None
        if len(sequences) == 1:
            laid = layout(len(sequences[0]), length, self.batch_size, is_moved=is_moved)
            return [Windows(sequences[0], length, self.seed, laid)], laid.num_slots // self.batch_size
        windows = [Windows(one, length, self.seed, None, source) for source, one in enumerate(sequences)]
        return windows, math.ceil(sum(each.num_slots for each in windows) / self.batch_size)

    def batch(self, step: int) -> Batch:
        """The batch of a global step, whatever was asked for before."""
        first, last = self.rows
        ids, labels = np.zeros((2, last - first, self.sequence_length), np.int32)
        weights = np.zeros((last - first, self.sequence_length), np.float32)
        for row, window in self._rows(step * self.batch_size + first, last - first):
            size = len(window) - 1
            ids[row, :size], labels[row, :size], weights[row, :size] = window[:-1], window[1:], 1.0
        if self.end_of_text_id is None:
            return ids, labels, weights
        return {"token_ids": ids, **segments_and_positions(ids, self.end_of_text_id)}, labels, weights

    def _rows(self, first: int, num_rows: int) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Consecutive rows of all batches, those of one source after the other, each with its place."""
        origins = [self._mixture.locate(row) for row in range(first, first + num_rows)]
        for source, windows in enumerate(self._windows):
            places = [place for place, origin in enumerate(origins) if origin[0] == source]
            yield from zip(places, windows.read([origins[place][1] for place in places]), strict=True)


def _mixture_of(sequences: Sequence[AnyIds], weights: Sequence[float]) -> Mixture:
    if len(sequences) > 1 and not weights:
        raise UsageError(f"{len(sequences)} sequences of ids and no weights: give one for each")
    require_weights(weights, len(sequences))
    counts = [len(one) for one, weight in zip(sequences, weights or [1], strict=True) if weight]
    if min(counts) < 2:  # of a source without weight nothing is read
        raise KerasGPTError("this part of the data holds no text: give more data or a larger fraction")
    return Mixture(weights or [1])


def dataset(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    tokenizer: Tokenizer,
    sequence_length: int,
    batch_size: int,
    seed: int = 0,
    split: Part = "train",
    *,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    method: str = "tail",
    errors: ErrorHandling = "strict",
    weights: Sequence[float] | None = (),
    deduplicate: bool = False,
    document_mask: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> TokenDataset:
    """Turn raw text into batches for your own `compile` and `fit`.

    Args:
        paths: a file of text, JSON lines, parquet or ids (nanoGPT's and llm.c's), or several.
        tokenizer: encodes them; learn one with `kerasgpt.Tokenizer.learn`.
        sequence_length: T, tokens of a window.
        batch_size: B, windows of a batch.
        seed: of the order of the windows.
        split: the part wanted: ``"train"`` is shuffled, ``"validation"`` and ``"test"`` come in order.
        validation_fraction: of the data, see `kerasgpt.data.splits.Split`.
        test_fraction: likewise.
        method: how to divide, ``"tail"`` or ``"document"``.
        errors: what to do about bytes that are not UTF-8, ``"strict"`` or ``"replace"``.
        weights: one for each path or pattern: in which proportion to train on them; each is then divided
            by itself. None means as they are, one after the other.
        deduplicate: whether to leave out documents that are equal to an earlier one.
        document_mask: whether a document sees none of those before it in its window.
        cache: folder for the encoded text; None means the user's cache.

    Returns:
        One epoch of (ids, labels, weights); for a loss that ignores padding compile with
        ``keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")``.
        Keras averages the means of batches, so the last one, partly of weight 0, counts in an evaluation as
        much as the others; `kerasgpt.training.losses.token_metric` among the ``weighted_metrics`` gives the
        exact mean over all tokens.

    Raises:
        UsageError: no such split, a seed below 0, or not as many weights as paths.
        KerasGPTError: a file cannot be read, or holds less than one batch or, with weights, less than
            one window.

    ```python
    data = kerasgpt.dataset("story.txt", tokenizer, sequence_length=128, batch_size=8)
    model.fit(data, epochs=3)
    ```
    """
    if split not in PARTS:
        raise unknown_name("split", split, PARTS)
    require_seed(seed)
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    weights = () if weights is None else tuple(weights)
    require_weights(weights, len(files))
    division = Split(validation_fraction, test_fraction, method)
    packed = pack(
        files,
        tokenizer,
        division,
        errors=errors,
        deduplicate=deduplicate,
        separate=bool(weights),
        cache=cache,
    )
    is_train = split == "train"
    if is_train:
        require_batch(packed.ids(split), sequence_length, batch_size, files)
        if weights:
            require_windows(packed.ids_by_source(split), weights, sequence_length, files)
    return TokenDataset(
        packed.ids_by_source(split) if weights and is_train else packed.ids(split),
        sequence_length,
        batch_size,
        seed if is_train else None,
        weights=weights if is_train else (),
        end_of_text_id=tokenizer.end_of_text_id if document_mask else None,
    )


def require_batch(ids: AnyIds, sequence_length: int, batch_size: int, paths: Sequence[Any]) -> None:
    """Refuse to train on less than one batch of full windows and the token after.

    Args:
        ids: of the part to train on.
        sequence_length: T, tokens of a window.
        batch_size: B, windows of a batch.
        paths: of the files, for the sentence.

    Raises:
        KerasGPTError: there are fewer.
    """
    names = ", ".join(str(Path(path)) for path in paths)
    _require_window(ids, sequence_length, names)
    if len(ids) <= sequence_length * batch_size:
        raise KerasGPTError(
            f"{names}: the part to train on has {len(ids)} tokens, and one batch takes"
            f" {sequence_length * batch_size + 1}, {batch_size} windows of {sequence_length}: give more text,"
            " a smaller batch size or a smaller sequence length"
        )


def require_windows(
    sources: Sequence[AnyIds], weights: Sequence[float], sequence_length: int, paths: Sequence[Any]
) -> None:
    """Refuse to mix sources one of which is shorter than a window, which would hold it more than once.

    Args:
        sources: ids of the part to train on, each source's apart.
        weights: one of each source; what has none is not read.
        sequence_length: T, tokens of a window.
        paths: one of each source, for the sentence.

    Raises:
        KerasGPTError: there is one.
    """
    for ids, weight, path in zip(sources, weights, paths, strict=True):
        if weight:
            _require_window(ids, sequence_length, str(Path(path)))


def _require_window(ids: AnyIds, sequence_length: int, names: str) -> None:
    if len(ids) <= sequence_length:
        raise KerasGPTError(
            f"{names}: the part to train on has {len(ids)} tokens, and one window takes"
            f" {sequence_length + 1}: give more text or a smaller sequence length"
        )
