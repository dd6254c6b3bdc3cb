"""ExampleCorpus: a task's files, divided into parts by what belongs together, as examples."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kerasgpt.data.example_dataset import ExampleDataset, require_rows
from kerasgpt.data.examples import Examples, encode_records
from kerasgpt.data.shards import PartSize
from kerasgpt.data.splits import PARTS, Part, Split
from kerasgpt.errors import UsageError, unknown_name
from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.reading import place_of, read_records
from kerasgpt.tasks.templates import DEFAULTS, TaskTemplate
from kerasgpt.tokenizer.bpe import Tokenizer

Paths = Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class RecordSplit:
    """Records of a task, divided.

    Attributes:
        parts: the records of each part, in the order of the files.
    """

    parts: dict[Part, list[TaskRecord]]

    @classmethod
    def read(cls, task: str, paths: Paths, division: Split, validation_paths: Paths = ()) -> RecordSplit:
        """Read files and divide them by the hash of what belongs together, such as articles.

        Args:
            task: its name.
            paths: its files.
            division: the fractions; the validation part has none where there are files of its own.
            validation_paths: files of the validation part.

        Raises:
            UsageError: no such task, or no file.
            KerasGPTError: a file cannot be read, or a record lacks a field.
        """
        validation_fraction = 0.0 if validation_paths else division.validation_fraction
        parts: dict[Part, list[TaskRecord]] = {part: [] for part in PARTS}
        for record in read_records(task, paths):
            place = place_of(record.group)
            is_test = place < division.test_fraction
            is_validation = place < division.test_fraction + validation_fraction
            parts["test" if is_test else "validation" if is_validation else "train"].append(record)
        if validation_paths:
            parts["validation"] = list(read_records(task, validation_paths))
        return cls(parts)

    def training_texts(self, template: TaskTemplate) -> Iterator[str]:
        """Prompts and answers of the part to train on, as a learner of vocabularies wants them."""
        for record in self.parts["train"]:
            yield template.text(record.fields) + template.answer_text(record.answers[0])


@dataclass(frozen=True)
class ExampleCorpus:
    """The parts as examples, in memory.

    Attributes:
        examples: of each part.
        test_records: those of the test part.
        num_duplicates: documents left out; of a task's files none are.
    """

    examples: dict[Part, Examples]
    test_records: tuple[TaskRecord, ...] = ()
    num_duplicates: int = 0

    @classmethod
    def encode(
        cls, split: RecordSplit, template: TaskTemplate, tokenizer: Tokenizer, sequence_length: int
    ) -> ExampleCorpus:
        """Turn divided records into ids; arguments and errors as in `encode_records`."""
        examples = {
            part: encode_records(records, template, tokenizer, sequence_length)
            for part, records in split.parts.items()
        }
        return cls(examples, tuple(split.parts["test"]))

    @property
    def sizes(self) -> dict[Part, PartSize]:
        """Of each part."""
        return {part: examples.size for part, examples in self.examples.items()}

    def num_labels(self, part: Part) -> int:
        """Tokens of a part that are learned or measured."""
        return self.examples[part].num_labels

    def ids(self, part: Part) -> NDArray[np.uint32]:
        """All ids of a part, one example after the other, (num_tokens,)."""
        return self.examples[part].ids

    def digest(self, part: Part) -> str:
        """A hash of all ids of a part, and of where its examples and their answers begin."""
        return self.examples[part].digest


def example_dataset(
    paths: str | os.PathLike[str] | Paths,
    tokenizer: Tokenizer,
    sequence_length: int,
    batch_size: int,
    seed: int = 0,
    split: Part = "train",
    *,
    task: str = "completion",
    template: TaskTemplate | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    pack: bool = True,
) -> ExampleDataset:
    """Turn prompts with their answers into batches for your own `compile` and `fit`, loss on answers only.

    Args:
        paths: a file of JSON lines ``{"prompt": ..., "answer": ...}``, or several; or files of another task.
        tokenizer: encodes them.
        sequence_length: T, tokens of a row.
        batch_size: B, rows of a batch.
        seed: of the order of the rows.
        split: the part wanted: ``"train"`` is shuffled, ``"validation"`` and ``"test"`` come in order.
        task: whose files they are.
        template: how fields become a prompt; None means the task's own.
        validation_fraction: of the data; which records, their hashes say.
        test_fraction: likewise.
        pack: whether a row holds as many examples as fit, each apart from the others.

    Returns:
        One epoch of (inputs, labels, weights), see `ExampleDataset`; for the loss see `kerasgpt.dataset`.

    Raises:
        UsageError: no such split or task, or a window too short for an answer.
        KerasGPTError: a file cannot be read, or holds less than one batch.

    ```python
    data = kerasgpt.example_dataset("pairs.jsonl", tokenizer, sequence_length=128, batch_size=8)
    model.fit(data, epochs=3)
    ```
    """
    if split not in PARTS:
        raise unknown_name("split", split, PARTS)
    if task not in DEFAULTS:
        raise unknown_name("task", task, DEFAULTS)
    if template and template.task != task:
        raise UsageError(f"a template of {template.task} for {task}: give one of that task")
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    records = RecordSplit.read(task, files, Split(validation_fraction, test_fraction, "document"))
    examples = encode_records(records.parts[split], template or DEFAULTS[task], tokenizer, sequence_length)
    is_train = split == "train"
    dataset = ExampleDataset(examples, sequence_length, batch_size, seed if is_train else None, pack=pack)
    if is_train:
        require_rows(dataset, files)
    return dataset
