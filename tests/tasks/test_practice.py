"""Practice can be answered by copying, in the forms that training reads."""

import random

import pytest

from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks import practice
from kerasgpt.tasks.practice import as_records, copying, main, questions, statements, write_practice
from kerasgpt.tasks.reading import read_records
from kerasgpt.tokenizer.bpe import Tokenizer

TEXT = (
    "The tower in Paris was built by Gustave Eiffel in 1889, and it weighs 10,100 tons of iron today. "
    "Short one. It was the tallest structure of the world for about forty years after that."
)
STATEMENT = "Chopin moved with his family to Warsaw in October 1810"


def test_what_is_behind_the_cue_is_the_answer():
    pairs = list(copying([TEXT], 200))
    assert len(pairs) == 200
    for text, cue, answer in pairs:
        assert text.endswith(f"{cue} {answer}")
        assert set(text.split()) <= set(TEXT.split())
    assert len({pair.text for pair in pairs}) > 190
    assert pairs == list(copying([TEXT], 200))
    assert pairs != list(copying([TEXT], 200, seed=1))


def test_few_words_are_the_most_frequent():
    drawn = {
        word for pair in copying(["a a a b b c", "a b d e"], 50, num_words=2) for word in pair.text.split()
    }
    assert drawn == {"a", "b"}


def test_half_of_the_words_are_as_frequent_as_in_the_texts_and_half_all_alike():
    drawn = [word for pair in copying(["a " * 99 + "b"], 2000) for word in pair.text.split()]
    assert drawn.count("b") / len(drawn) == pytest.approx(0.5 * 0.01 + 0.5 * 0.5, abs=0.02)


def test_statements_say_all_but_what_is_asked_for():
    pairs = list(statements([TEXT]))
    assert [pair.answer for pair in pairs] == [pair.answer for pair in statements([TEXT])]
    sentences = [sentence for sentence in TEXT.replace(". ", ".\n").splitlines() if "Short" not in sentence]
    for text, cue, answer in pairs:
        assert text == TEXT
        assert cue.count("what") == 1
        assert cue.replace("what", answer).replace("?", ".") in sentences
    assert len({cue for _, cue, _ in pairs}) >= 4


def test_questions_ask_for_words_of_the_text_by_what_is_around_them():
    pairs = list(questions([TEXT]))
    assert not any(answer == "Short one" for _, _, answer in pairs)
    assert len(pairs) >= 4
    for text, cue, answer in pairs:
        assert text == TEXT
        assert answer in TEXT
        assert cue.endswith("?")
    around = {word.strip(",.") for word in TEXT.split()}
    shared = [len(around & set(pair.cue.rstrip("?").split())) for pair in pairs]
    assert min(shared) >= 2
    assert {pair.answer for pair in pairs} & {"Gustave Eiffel", "1889", "10,100", "Paris"}


@pytest.mark.parametrize(
    ("asked_for", "before", "openings", "swallows"),
    [
        ("October 1810", "in", practice._IN_TIME, True),
        ("1889", "around", practice._IN_TIME, False),
        ("10,100", "weighs", practice._OF_AMOUNTS, False),
        ("Warsaw", "to", practice._AT_A_PLACE, True),
        ("Gustave Eiffel", "by", practice._OF_AGENTS, True),
        ("Chopin", "", practice._OF_NAMES, False),
        ("his family", "with", practice._OF_ANYTHING, False),
    ],
)
def test_the_question_word_fits_what_is_asked_for(asked_for, before, openings, swallows):
    assert practice._openings(asked_for, before) == (openings, swallows)


def test_of_what_is_asked_for_nothing_is_said():
    begin = STATEMENT.index("Warsaw")
    asked = [practice._question(STATEMENT, begin, begin + 6, random.Random(seed)) for seed in range(50)]
    assert not any("Warsaw" in question or " to" in question for question in asked)
    assert any(question.split()[0] in "Where In What" for question in asked)
    assert len({len(question.split()) for question in asked}) > 5  # some words are left out


@pytest.mark.parametrize("task", practice.TEXT_FIELDS)
def test_what_is_written_is_what_training_reads(task, tmp_path):
    said = []
    write_practice(task, [TEXT], tmp_path / "new", [TEXT], 300, count=20, tell=said.append)
    files = {path.name for path in (tmp_path / "new").glob("*.jsonl")}
    assert files == {"few_words.jsonl", "all_words.jsonl"} | (
        {"statements.jsonl", "questions.jsonl"} if task == "question_answering" else set()
    )
    records = list(read_records(task, [tmp_path / "new" / "all_words.jsonl"]))
    expected = list(as_records(task, copying([TEXT], 20)))
    assert [record.fields for record in records] == [record.fields for record in expected]
    assert [record.answers for record in records] == [record.answers for record in expected]
    assert Tokenizer.from_preset(tmp_path / "new" / "vocabulary").vocabulary_size <= 300
    assert f"{tmp_path / 'new' / 'few_words.jsonl'}: 10 pairs" in said


def test_the_command_reads_a_tasks_files_and_lines_of_text(tmp_path, capsys):
    (tmp_path / "mails.jsonl").write_text(
        '{"body": "Please call Ann about the lease.", "subject": "Lease"}\n'
    )
    (tmp_path / "more.txt").write_text("Call Bob.\n\nCall Bob.\n")
    files = [str(tmp_path / name) for name in ("mails.jsonl", "more.txt")]
    main(
        ["summarization", *files, "--out", str(tmp_path / "out"), "--vocabulary-size", "260", "--count", "4"]
    )
    said = capsys.readouterr().out
    assert "all_words.jsonl: 4 pairs" in said
    learned = Tokenizer.from_preset(tmp_path / "out" / "vocabulary").vocabulary_size
    assert f"vocabulary: {learned} ids" in said
    words = {
        word
        for record in read_records("summarization", [tmp_path / "out" / "all_words.jsonl"])
        for word in record.fields["text"].split()
    }
    assert words <= {"Please", "call", "Ann", "about", "the", "lease.", "Call", "Bob."}


def test_what_cannot_be_practised_is_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="task 'translation': practice is for those that copy"):
        write_practice("translation", [TEXT], tmp_path, [TEXT], 300)
    with pytest.raises(KerasGPTError, match="no words to make practice of"):
        write_practice("summarization", [" "], tmp_path / "new", [TEXT], 300)
    with pytest.raises(UsageError, match="count is 1: it must be 2 or more"):
        write_practice("summarization", [TEXT], tmp_path / "new", [TEXT], 300, count=1)
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    with pytest.raises(KerasGPTError, match="file.*: cannot write"):
        write_practice("summarization", [TEXT], tmp_path / "file", [TEXT], 300)
    with pytest.raises(SystemExit, match="kerasgpt: .*none.jsonl"):
        main(["summarization", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "new")])
