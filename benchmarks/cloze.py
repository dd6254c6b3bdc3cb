"""Questions without people: sentences of texts with a few of their words to be found again."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator

from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.shortening import sentences

NAME = re.compile(r"(?<=\s)(?:[A-Z][\w'-]+(?:\s(?:of\s)?[A-Z][\w'-]+)*|\d[\d,.]*\d|\d)(?=[\s,.;)]|$)")
"""A name, or a number, that does not begin a sentence: what most of SQuAD's questions ask for."""

SPANS_PER_SENTENCE = 3


def cloze(records: Iterable[TaskRecord], seed: int = 0) -> Iterator[TaskRecord]:
    """For each sentence of the records' contexts: the sentence with ``what`` in place of some of its words.

    The words are a name or a number where there are some, else any one to three. That a model answers these
    from the context, by finding the sentence and copying, costs no labels.
    """
    generator = random.Random(seed)
    contexts = {record.fields["context"]: record for record in records}
    for context, record in contexts.items():
        for sentence in sentences(context):
            spans = [match.span() for match in NAME.finditer(sentence)]
            words = [match.span() for match in re.finditer(r"[\w'-]+", sentence)]
            if not 6 <= len(words) <= 25:
                continue
            while len(spans) < SPANS_PER_SENTENCE:
                first = generator.randrange(1, len(words) - 2)
                spans.append((words[first][0], words[first + generator.randrange(3)][1]))
            for begin, end in generator.sample(spans, SPANS_PER_SENTENCE):
                question = f"{sentence[:begin]}what{sentence[end:].rstrip('.')}?"
                yield TaskRecord(
                    {"context": context, "question": question},
                    (sentence[begin:end],),
                    record.place,
                    record.group,
                )
