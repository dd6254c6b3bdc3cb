import gzip
import json

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.files.labelled import PAIRS_TEMPLATE, read_labelled


def write(tmp_path, name: str, content: str):
    path = tmp_path / name
    path.write_text(content)
    return path


def test_lists_of_pairs(tmp_path) -> None:
    values = [{"input": "up", "output": "down"}, {"input": " in ", "output": ["out", "off"]}]
    path = write(tmp_path, "antonym.json", json.dumps(values))
    (one, two), template = read_labelled(path)
    assert (one.input, one.outputs, one.place) == ("up", ("down",), f"{path}, example 1")
    assert (two.input, two.outputs) == ("in", ("out", "off"))
    assert template == PAIRS_TEMPLATE


def test_json_lines_with_other_names(tmp_path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "fine", "label": 1}\n{"question": "q", "answer": "a"}\n')
    (one, two), _ = read_labelled(path)
    assert (one.input, one.outputs) == ("fine", ("1",))
    assert (two.input, two.outputs, two.place) == ("q", ("a",), f"{path}, line 2")


def test_lines_of_sst2(tmp_path) -> None:
    path = write(tmp_path, "stsa.binary.dev", "0 one long string of cliches .\n1 a film\n\n")
    found, template = read_labelled(path)
    assert [(each.input, each.outputs) for each in found] == [
        ("one long string of cliches .", ("negative",)),
        ("a film", ("positive",)),
    ]
    assert template.startswith("Review: {input}")


def test_lines_of_trec(tmp_path) -> None:
    path = write(tmp_path, "test.txt", "NUM:dist How far is it ?\nLOC:city What county ?\n")
    found, template = read_labelled(path)
    assert [each.outputs for each in found] == [("Number",), ("Location",)]
    assert template.startswith("Question: {input}")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", "{}", "is no list"),
        ("a.json", '[{"input": "a"}]', 'example 1: has no "output", only input'),
        ("a.json", '[{"input": "a", "output": ""}]', "example 1: its output is no text or empty"),
        ("a.json", '[{"input": "a", "output": []}]', "example 1: its output is no text or empty"),
        ("a.json", '[{"input": 3, "output": "a"}]', "example 1: its input is no text or empty"),
        ("a.json", '[\n{"input": "a",}]', "line 2: not valid JSON"),
        ("a.json", "[3]", "example 1: is no object"),
        ("a.json", "[]", "has no example"),
        ("a.json", '[{"input": "\\ud800", "output": "b"}]', "example 1: its input or output holds half a"),
        ("a.json", '[{"input": "a", "output": "\\udc00"}]', "example 1: its input or output holds half a"),
        ("a.json", "[" * 100_000, "not valid JSON (nested too deep)"),
        ("a.json", "[" + "1" * 5000 + "]", "not valid JSON (a number of too many digits)"),
        ("a.jsonl", '{"input": "a", "output": "b"}\n{"output": "b"}\n', 'line 2: has no "input"'),
        ("a.txt", "", "has no example"),
        ("a.txt", "\nhello there\n", "line 2: is neither SST-2"),
        ("a.txt", "1 good\n2 odd\n", "line 2: label '2' is none of 0, 1"),
        ("a.txt", "1 good\ngood\n", "line 2: has no label and text"),
        ("a.txt", "LOC:x Where ?\nLOK:x Where ?\n", "line 2: label 'LOK' is none of ABBR, DESC"),
    ],
)
def test_bad_files_are_named(tmp_path, name: str, content: str, sentence: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(KerasGPTError) as caught:
        read_labelled(path)
    assert str(caught.value).startswith(str(path))
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["none.json", "none.txt", "none.jsonl"])
def test_a_missing_file_is_named(tmp_path, name: str) -> None:
    with pytest.raises(KerasGPTError, match=r"none.*: cannot read"):
        read_labelled(tmp_path / name)


def test_bytes_that_are_no_text_are_named(tmp_path) -> None:
    for name in ("a.json", "a.txt"):
        (tmp_path / name).write_bytes(b"1 caf\xe9\n")
        with pytest.raises(KerasGPTError, match="not UTF-8"):
            read_labelled(tmp_path / name)


def test_packed_files_and_byte_order_marks(tmp_path) -> None:
    pair = '{"input": "up", "output": "down"}'
    for name, content in (("a.json", f"\ufeff[{pair}]"), ("b.jsonl", f"\ufeff{pair}\n"), ("c", "1 good\n")):
        expected, _ = read_labelled(write(tmp_path, name, content))
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
        found, _ = read_labelled(tmp_path / f"{name}.gz")
        assert [(each.input, each.outputs) for each in found] == [
            (each.input, each.outputs) for each in expected
        ]
