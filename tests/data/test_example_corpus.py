import json

import numpy as np
import pytest

from kerasgpt.data.example_corpus import ExampleCorpus, RecordSplit, example_dataset
from kerasgpt.data.splits import Split
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks.templates import DEFAULTS
from kerasgpt.tokenizer.bpe import Tokenizer

BYTES = Tokenizer.learn(["a"], 257)


@pytest.fixture
def questions(tmp_path):
    """300 questions about 60 articles."""
    path = tmp_path / "questions.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {
                    "context": "c",
                    "question": f"q{number}",
                    "answers": ["a"],
                    "title": f"article {number % 60}",
                }
            )
            + "\n"
            for number in range(300)
        )
    )
    return path


def test_an_article_is_in_one_part_and_stays_there_whatever_is_added(questions):
    split = RecordSplit.read("question_answering", [questions], Split(0.2, 0.2, "document"))
    titles = {part: {record.group for record in records} for part, records in split.parts.items()}
    assert sum(map(len, titles.values())) == 60
    assert all(len(groups) > 3 for groups in titles.values())
    questions.write_text("".join(questions.read_text().splitlines(keepends=True)[::-3]))
    fewer = RecordSplit.read("question_answering", [questions], Split(0.2, 0.2, "document"))
    for part, records in fewer.parts.items():
        assert {record.group for record in records} <= titles[part]


def test_files_of_their_own_are_the_whole_validation_part(questions):
    paths = ["question_answering", [questions], Split(0.2, 0.2, "document"), [questions]]
    split = RecordSplit.read(*paths)
    assert len(split.parts["validation"]) == 300
    assert len(split.parts["train"]) + len(split.parts["test"]) == 300


def test_a_corpus_counts_the_labels_and_keeps_the_test_part(questions):
    split = RecordSplit.read("question_answering", [questions], Split(0.2, 0.2, "document"))
    corpus = ExampleCorpus.encode(split, DEFAULTS["question_answering"], BYTES, 128)
    assert corpus.test_records == tuple(split.parts["test"])
    for part, records in split.parts.items():
        assert corpus.num_labels(part) == len(records) * len([*b" a", "end"])
        assert corpus.sizes[part].num_documents == len(records)
        assert len(corpus.ids(part)) == corpus.sizes[part].num_tokens
    assert next(split.training_texts(DEFAULTS["question_answering"])).endswith("\nAnswer: a")


def test_batches_for_a_fit_of_ones_own(questions):
    train = example_dataset(questions, BYTES, 64, 4, task="question_answering")
    inputs, labels, weights = train[0]
    assert labels.shape == weights.shape == inputs["segment_ids"].shape == (4, 64)
    validation = example_dataset(
        questions, BYTES, 64, 4, split="validation", task="question_answering", pack=False
    )
    ids, _, _ = validation[0]
    assert ids.shape == (4, 64)
    np.testing.assert_array_equal(validation.batch(0)[0], validation.batch(validation.steps_per_epoch)[0])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"split": "tests"}, "unknown split 'tests'"),
        ({"task": "answers"}, "unknown task 'answers'"),
        ({"template": DEFAULTS["translation"]}, "a template of translation for completion"),
        ({"task": "question_answering", "batch_size": 999}, "give more examples or a smaller batch size"),
    ],
)
def test_what_does_not_fit_is_refused(questions, settings, sentence):
    arguments = {"sequence_length": 64, "batch_size": 4, **settings}
    with pytest.raises((UsageError, KerasGPTError), match=sentence):
        example_dataset(questions, BYTES, **arguments)


def test_the_digest_changes_where_an_answer_begins(tmp_path):
    path, digests = tmp_path / "pairs.jsonl", []
    for cut in (8, 12, 8):
        texts = [f"question {number} the answer is {number * 7}" for number in range(20)]
        pairs = [{"prompt": text[:cut], "answer": text[cut:]} for text in texts]
        path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        split = RecordSplit.read("completion", [path], Split(0.0, 0.0))
        corpus = ExampleCorpus.encode(split, DEFAULTS["completion"], BYTES, 128)
        digests.append((corpus.ids("train").tolist(), corpus.digest("train")))
    (ids, one), (other_ids, other), again = digests
    assert ids == other_ids
    assert one != other
    assert again == (ids, one)
    assert corpus.digest("validation") == corpus.digest("test") != one
