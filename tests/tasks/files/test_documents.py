import gzip

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.files.documents import SeparatorsScoredWarning, read_documents


def test_a_text_file_is_one_document_or_those_between_markers(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Né one.\r\n<|endoftext|>\nTwo <|endoftext|> here.\n<|endoftext|>\n\n".encode())
    with pytest.warns(SeparatorsScoredWarning, match="2 lines are"):
        (whole,) = read_documents(path, None, apart=False)
    assert whole.text.encode() == path.read_bytes()
    assert whole.place == str(path)
    one, two = read_documents(path, None, apart=True)
    assert (one.text, two.text) == ("Né one.", "Two <|endoftext|> here.")  # as in training
    assert two.place == f"{path}, document 2"


@pytest.mark.parametrize("apart", [True, False])
def test_json_lines_are_documents(tmp_path, apart: bool) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n\n{"text": "two"}\n')
    documents = read_documents(path, None, apart=apart)
    assert [(each.text, each.place) for each in documents] == [
        ("one", f"{path}, line 1"),
        ("two", f"{path}, line 3"),
    ]


def test_words_are_counted_before_they_are_put_together(tmp_path) -> None:
    path = tmp_path / "wiki.txt"
    path.write_text(" = A = \n it 's . \n = B = \n")
    first, second = read_documents(path, "wikitext", apart=True)
    assert (first.text, first.num_words, first.num_line_ends) == ("= A =\nit's.\n", 6, 2)
    assert (second.text, second.num_words, second.num_line_ends) == ("= B =\n", 3, 1)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", None, "cannot read"),
        ("a.txt", b" \n", "is empty"),
        ("a.txt", b"abc\xff", "not UTF-8 at byte 3"),
        ("a.jsonl", b'{"text": "x"}\n{"txt": "x"}\n', 'line 2: has no text "text"'),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', "line 2: not valid JSON"),
        ("a.jsonl", b'{"text": ""}\n', 'line 1: its "text" is empty'),
    ],
)
def test_bad_files_are_named(tmp_path, name: str, content: bytes | None, sentence: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KerasGPTError) as caught:
        read_documents(path, None, apart=False)
    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)


def test_packed_files_are_read_too(tmp_path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("Né one.\r\n".encode()))
    assert [each.text for each in read_documents(tmp_path / "a.txt.gz", None, apart=False)] == ["Né one.\r\n"]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "one"}\n{"text": "two"}\n'))
    found = read_documents(tmp_path / "a.jsonl.gz", None, apart=False)
    assert [each.text for each in found] == ["one", "two"]
