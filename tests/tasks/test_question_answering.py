import json

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks import question_answering

QUESTION = {"id": "q1", "question": "Who slept?", "answers": [{"text": "The cat"}, {"text": "cat"}]}
ARTICLE = {"title": "Cats", "paragraphs": [{"context": "It was cold. The cat slept.", "qas": [QUESTION]}]}


def _write(path, value):
    path.write_text(json.dumps(value))
    return [str(path)]


def test_squads_form_is_read_and_its_articles_keep_together(tmp_path):
    (record,) = question_answering.read(_write(tmp_path / "a.json", {"version": "1.1", "data": [ARTICLE]}))
    assert record.fields == {"context": "It was cold. The cat slept.", "question": "Who slept?"}
    assert (record.answers, record.group) == (("The cat", "cat"), "Cats")
    assert record.place.endswith("a.json, article 1, question q1")
    assert question_answering.nearest_sentence(record) == "The cat slept."


def test_json_lines_are_read_and_a_title_keeps_them_together(tmp_path):
    value = {"context": "c", "question": "q", "answers": ["a"], "title": "t"}
    (record,) = question_answering.read(_write(tmp_path / "a.jsonl", value))
    assert (record.answers, record.group) == (("a",), "t")
    del value["title"]
    (record,) = question_answering.read(_write(tmp_path / "b.jsonl", value))
    assert record.group == "c"


def test_the_form_is_told_by_how_a_name_ends(tmp_path):
    value = {"context": "c", "question": "q", "answers": ["a"]}
    (record,) = question_answering.read(_write(tmp_path / "A.JSONL", value))
    assert record.answers == ("a",)
    folder = tmp_path / "squad.jsonl.d"
    folder.mkdir()
    (record,) = question_answering.read(_write(folder / "a.json", {"data": [ARTICLE]}))
    assert record.group == "Cats"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([1], "not in SQuAD's form"),
        ({"data": 5}, r'not in SQuAD\'s form \(it has no list "data"\)'),
        ({"data": [5]}, r'article 1: has no list "paragraphs"'),
        ({"data": [{"title": "x"}]}, r'article 1: has no list "paragraphs"'),
        ({"data": [{"paragraphs": [{"context": "c", "qas": [{"id": 3}]}]}]}, "question 3: has no text"),
        (
            {"data": [{"paragraphs": [{"context": "c", "qas": [{**QUESTION, "answers": []}]}]}]},
            "question q1: has no answer",
        ),
        (
            {"data": [{"paragraphs": [{"context": "c", "qas": [{**QUESTION, "answers": [{"text": ""}]}]}]}]},
            'question q1: its "text" is empty',
        ),
    ],
)
def test_what_is_missing_is_told_with_its_place(tmp_path, value, sentence):
    with pytest.raises(KerasGPTError, match=sentence):
        list(question_answering.read(_write(tmp_path / "a.json", value)))


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"data": ' + "1" * 5000 + "}"])
def test_what_is_no_json_is_told_with_its_file(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(KerasGPTError, match=r"a.json: not in SQuAD's form"):
        list(question_answering.read([str(tmp_path / "a.json")]))
