import gzip

import pytest

from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks import translation


@pytest.fixture
def parallel(tmp_path):
    def write(sources, targets):
        (tmp_path / "a.en.gz").write_bytes(gzip.compress("\n".join(sources).encode()))
        (tmp_path / "a.de").write_text("\n".join(targets))
        return [str(tmp_path / "a.en.gz"), str(tmp_path / "a.de")]

    return write


def test_lines_of_parallel_files_belong_together(parallel):
    records = list(translation.read(parallel(["A dog.", "A cat."], ["Ein Hund.", "Eine Katze."])))
    assert [(record.fields["source"], record.answers) for record in records] == [
        ("A dog.", ("Ein Hund.",)),
        ("A cat.", ("Eine Katze.",)),
    ]
    assert records[1].place.endswith("a.de, line 2")
    assert translation.copied(records[0]) == "A dog."


@pytest.mark.parametrize(
    ("sources", "targets", "sentence"),
    [
        (["a", "b"], ["c"], r"a.en.gz, line 2: the other file .* has no such line"),
        (["a"], ["c", "d"], r"a.de, line 2: the other file .* has no such line"),
        (["a", "", "c"], ["d", "e", "f"], r"a.en.gz, line 2: is empty"),
        (["a", "b"], ["c", " "], r"a.de, line 2: has an empty answer"),
    ],
)
def test_a_line_without_its_other_half_is_told(parallel, sources, targets, sentence):
    with pytest.raises(KerasGPTError, match=sentence):
        list(translation.read(parallel(sources, targets)))


def test_json_lines_and_nothing_else(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"source": "x", "target": ["y", "z"]}\n')
    (record,) = translation.read([str(tmp_path / "a.jsonl")])
    assert record.answers == ("y", "z")
    with pytest.raises(UsageError, match="from 3 files of text: give two, the source first"):
        list(translation.read(["a", "b", "c"]))


def test_json_lines_beside_text_belong_to_nothing(tmp_path):
    for name in ("a.ndjson", "b.txt"):
        (tmp_path / name).write_text('{"source": "x", "target": "y"}\n')
    with pytest.raises(UsageError, match="from 2 files of text: give two, .* or files of JSON lines"):
        list(translation.read([str(tmp_path / "a.ndjson"), str(tmp_path / "b.txt")]))


@pytest.mark.parametrize("name", ["A.JSONL", "a.jsonl.gz", "a.ndjson"])
def test_json_lines_are_told_by_how_a_name_ends(tmp_path, name):
    line = b'{"source": "x", "target": "y"}'
    (tmp_path / name).write_bytes(gzip.compress(line) if name.endswith(".gz") else line)
    (record,) = translation.read([str(tmp_path / name)])
    assert record.answers == ("y",)


def test_a_folder_named_so_makes_no_json_lines(tmp_path):
    folder = tmp_path / "corpus.jsonl.d"
    folder.mkdir()
    for name, text in {"a.en": "A dog.", "a.de": "Ein Hund."}.items():
        (folder / name).write_text(text)
    (record,) = translation.read([str(folder / "a.en"), str(folder / "a.de")])
    assert record.answers == ("Ein Hund.",)
