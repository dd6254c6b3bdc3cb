"""Practice: pairs made of any text, from which a small model learns to copy before it learns a task.

``python -m kerasgpt.tasks.practice question_answering TRAIN.jsonl --out FOLDER`` writes a vocabulary, two
files to learn copying from, first of few words and then of all, and for questions two more, of statements
with a gap and of questions made of them; see docs/tasks.md.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from kerasgpt.errors import KerasGPTError, UsageError, counted
from kerasgpt.tasks.files.lines import numbered_lines
from kerasgpt.tasks.files.records import TaskRecord
from kerasgpt.tasks.reading import read_records, write_records
from kerasgpt.tasks.shortening import sentences
from kerasgpt.tokenizer.bpe import Tokenizer

TEXT_FIELDS = {"question_answering": "context", "summarization": "text"}
"""Task that comes down to copying -> the field that is copied from."""

NUM_FEW_WORDS = 300
"""With so many words copying arises within some hundred steps; with all words from the start it does not."""

SPANS_PER_SENTENCE = 3
WORDS_OF_A_SENTENCE = range(6, 41)

_WORD = re.compile(r"[\w'-]+")
_NAME = re.compile(r"(?<=\s)(?:[A-Z][\w'-]+(?:\s(?:of\s)?[A-Z][\w'-]+)*|\d[\d,.]*\d|\d)(?=[\s,.;)]|$)")
_TIME = re.compile(
    r"(?:1\d|20)\d\d|.*\b(?:January|February|March|April|May|June|July|August|\w+mber|October)\b.*"
)

# How the question begins, and whether it swallows the preposition in front of what is asked for.
_IN_TIME = ("When", "When", "In what year", "What year")
_AT_A_PLACE = ("Where", "Where", "In what place", "What city", "In which country")
_OF_AGENTS = ("Who", "Who", "By whom", "What person")
_OF_AMOUNTS = ("How many", "How many", "How much", "What number of")
_OF_NAMES = ("Who", "What", "Which", "Which group", "What person", "What is the name of the one who")
_OF_ANYTHING = ("What", "What", "What", "Which", "What kind of", "What type of", "Why", "How")
_VERBS = ("did", "was", "is", "were", "does", "do", "are", "has")


class Practice(NamedTuple):
    """What a model is to copy from a text: what is behind a cue, or what a question asks for."""

    text: str
    cue: str
    answer: str


def copying(
    texts: Sequence[str], count: int, num_words: int | None = None, seed: int = 0
) -> Iterator[Practice]:
    """Words drawn at random, one or two of them as a cue, and what is behind these.

    Nothing of the language helps to answer: the cue has to be looked up, as an induction head does
    (Olsson et al. 2022, arXiv:2209.11895).

    Args:
        texts: where the words come from, half of those drawn as frequent as there, the others all alike.
        count: how many.
        num_words: to draw from the most frequent so many; None means from all.
        seed: of the draws.

    >>> text, cue, answer = next(copying(["one two three four"], 1))
    >>> f"{cue} {answer}" in text
    True
    """
    generator = random.Random(seed)
    words, counts = zip(
        *Counter(word for text in texts for word in text.split()).most_common(num_words), strict=True
    )
    cumulative = list(accumulate(counts))
    for _ in range(count):
        length = generator.randrange(4, 17)
        drawn = [
            generator.choices(words, cum_weights=cumulative)[0]
            if generator.random() < 0.5
            else generator.choice(words)
            for _ in range(length)
        ]
        begin = generator.randrange(max(1, length // 2))
        end = begin + generator.randrange(1, 3)
        yield Practice(" ".join(drawn), " ".join(drawn[begin:end]), " ".join(drawn[end:]))


def statements(texts: Iterable[str], seed: int = 0) -> Iterator[Practice]:
    """Sentences with "what" in place of a name, a number or any few words: what has been read is to be found.

    Args:
        texts: to ask about, sentence by sentence.
        seed: of what is asked for.

    >>> text = "The tower of iron in Paris was built by Eiffel."
    >>> _, cue, answer = next(statements([text]))
    >>> cue.replace("what", answer).rstrip("?") == text.rstrip(".")
    True
    """
    for text, sentence, begin, end in _asked_for(texts, random.Random(seed)):
        yield Practice(text, f"{sentence[:begin]}what{sentence[end:].rstrip('.')}?", sentence[begin:end])


def questions(texts: Iterable[str], seed: int = 0) -> Iterator[Practice]:
    """Questions made of statements, some words of which are left out, so that it takes more than looking up.

    After the cloze translation of Lewis et al. 2019 (arXiv:1906.04980): a name, a number or any few words are
    asked for, by what stands around them behind a question word that fits.

    Args:
        texts: to ask about, sentence by sentence.
        seed: of what is asked for, and of the words left out.
    """
    generator = random.Random(seed)
    for text, sentence, begin, end in _asked_for(texts, generator):
        yield Practice(text, _question(sentence, begin, end, generator), sentence[begin:end])


def _asked_for(texts: Iterable[str], generator: random.Random) -> Iterator[tuple[str, str, int, int]]:
    """A text, a sentence of it, and where in that sentence what is asked for begins and ends."""
    for text in texts:
        for sentence in sentences(text):
            words = [match.span() for match in _WORD.finditer(sentence)]
            if len(words) not in WORDS_OF_A_SENTENCE:
                continue
            spans = [match.span() for match in _NAME.finditer(sentence)]
            for _ in range(1 + (len(spans) < SPANS_PER_SENTENCE)):
                first = generator.randrange(len(words) - 3)
                spans.append((words[first][0], words[first + generator.randrange(4)][1]))
            for begin, end in generator.sample(spans, min(SPANS_PER_SENTENCE, len(spans))):
                yield text, sentence, begin, end


def _question(sentence: str, begin: int, end: int, generator: random.Random) -> str:
    before, after = sentence[:begin].split(), sentence[end:].strip(" ,;").rstrip(".").split()
    openings, swallows = _openings(sentence[begin:end], before[-1].lower() if before else "")
    opening = generator.choice(openings)
    before = before[: len(before) - swallows][-generator.randrange(3, 14) :]
    after = after[: generator.randrange(3, 14)]
    left_out = generator.choice((0.0, 0.15, 0.3, 0.45))
    before, after = (
        [word.strip(",;()") for word in words if generator.random() >= left_out] for words in (before, after)
    )
    order = generator.random()
    if order < 0.15:
        return " ".join([*before, opening.lower(), *after]) + "?"
    rest = [*before, *after] if order < 0.8 else [*after, *before]
    if opening != "Who" and generator.random() < 0.6:
        rest.insert(0, generator.choice(_VERBS))
    return " ".join([opening, *rest]) + "?"


def _openings(asked_for: str, preposition: str) -> tuple[tuple[str, ...], bool]:
    if _TIME.fullmatch(asked_for):
        return _IN_TIME, preposition in ("in", "on", "since", "by", "until", "during", "of")
    if asked_for[0].isdigit():
        return _OF_AMOUNTS, False
    if asked_for[0].isupper() and preposition in ("in", "at", "near", "to", "from"):
        return _AT_A_PLACE, True
    if asked_for[0].isupper() and preposition in ("by", "with"):
        return _OF_AGENTS, True
    return (_OF_NAMES if asked_for[0].isupper() else _OF_ANYTHING), False


def as_records(task: str, pairs: Iterable[Practice]) -> Iterator[TaskRecord]:
    """Put practice into a task's form: a cue is a question, or the last line of what is summarized."""
    for text, cue, answer in pairs:
        is_asked = task == "question_answering"
        fields = {"context": text, "question": cue} if is_asked else {"text": f"{text}\n{cue}"}
        yield TaskRecord(fields, (answer,), "practice", group=text)


def write_practice(
    task: str,
    texts: Sequence[str],
    folder: Path,
    vocabulary: Iterable[str],
    vocabulary_size: int,
    count: int = 60_000,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Write ``vocabulary``, ``few_words.jsonl`` and ``all_words.jsonl``, and for questions two files more.

    Args:
        task: one of `TEXT_FIELDS`.
        texts: to make practice of; none that a model is judged on.
        folder: to write into.
        vocabulary: texts to learn the vocabulary from.
        vocabulary_size: of its ids.
        count: pairs of ``all_words.jsonl``, 2 or more; the other has half as many.
        tell: is told what was written.

    Raises:
        UsageError: the task has no text to copy from, or fewer than 2 pairs are wanted.
        KerasGPTError: the folder cannot be written, or the texts are empty.
    """
    _require_copying(task)
    if count < 2:
        raise UsageError(f"count is {count}: it must be 2 or more")
    if not any(text.split() for text in texts):
        raise KerasGPTError("no words to make practice of: give texts that have some")
    tokenizer = Tokenizer.learn(vocabulary, vocabulary_size)
    tokenizer.save_to_preset(folder / "vocabulary")
    tell(f"{folder / 'vocabulary'}: {tokenizer.vocabulary_size:,} ids")
    made = {
        "few_words": copying(texts, count // 2, NUM_FEW_WORDS),
        "all_words": copying(texts, count),
        **(
            {"statements": statements(texts), "questions": questions(texts)}
            if task == "question_answering"
            else {}
        ),
    }
    for name, pairs in made.items():
        records = list(as_records(task, pairs))
        write_records(task, records, folder / f"{name}.jsonl")
        tell(f"{folder / name}.jsonl: {counted(len(records), 'pair')}")


def _require_copying(task: str) -> None:
    if task not in TEXT_FIELDS:
        raise UsageError(f"task '{task}': practice is for those that copy: {', '.join(TEXT_FIELDS)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read files, write practice."""
    parser = argparse.ArgumentParser(prog="python -m kerasgpt.tasks.practice", description=__doc__)
    parser.add_argument("task", help=f"one of {', '.join(TEXT_FIELDS)}")
    parser.add_argument(
        "data", nargs="+", help="the task's files to train on, or .txt with a text in each line"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary-size", type=int, default=2048)
    parser.add_argument("--count", type=int, default=60_000)
    options = parser.parse_args(arguments)
    try:
        texts, everything = _read(options.task, options.data)
        write_practice(
            options.task, texts, options.out, everything, options.vocabulary_size, options.count, print
        )
    except KerasGPTError as error:
        sys.exit(f"kerasgpt: {error}")


def _read(task: str, paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The texts, each once, and beside them all that their records say."""
    _require_copying(task)
    lines = [
        line for path in paths if path.endswith(".txt") for _, line in numbered_lines(path) if line.strip()
    ]
    files = [path for path in paths if not path.endswith(".txt")]
    records = list(read_records(task, files)) if files else []
    texts = [*dict.fromkeys([*(record.fields[TEXT_FIELDS[task]] for record in records), *lines])]
    others = (
        text
        for record in records
        for text in (
            *(value for name, value in record.fields.items() if name != TEXT_FIELDS[task]),
            record.answers[0],
        )
    )
    return texts, [*texts, *others]


if __name__ == "__main__":
    main()
