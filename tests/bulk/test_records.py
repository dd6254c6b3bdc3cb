"""A line becomes a record, or is refused in a sentence with what stood there."""

import pytest

from kerasgpt.bulk.records import Record, Rejected, is_json, parse


def parsed(line: bytes, task="generate", as_json=True):
    return parse(line, "a.jsonl:3", 2, task, as_json=as_json)


def test_json_lines():
    line = '{"prompt": "naïve", "continuation": "北", "other": 1}'.encode()
    assert parsed(line + b"\r\n") == Record("a.jsonl:3", 2, "naïve")
    assert parsed(line, "score") == Record("a.jsonl:3", 2, "naïve", "北")
    assert parsed(line, "score").strings("score") == {"prompt": "naïve", "continuation": "北"}
    assert parsed(b'{"prompt": ""}') == Record("a.jsonl:3", 2, "")


def test_lines_of_text_keep_all_but_their_line_break():
    assert parsed(b" To be\r\n", as_json=False).prompt == " To be"
    assert parsed(b'{"prompt": "a"}', as_json=False).prompt == '{"prompt": "a"}'


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"not json", "not valid JSON (Expecting value at character 0)"),
        (b"[" * 100_000, "recursion"),
        (b"[1]", "the line is a JSON list, not an object"),
        (b'{"text": "a"}', 'the record has no "prompt" that is a string'),
        (b'{"prompt": 3}', 'the record has no "prompt" that is a string'),
        (b'{"prompt": "a"}', 'the record has no "continuation" that is a string'),
        (b'{"prompt": "\\ud800", "continuation": ""}', '"prompt" holds half a surrogate pair'),
        (b'{"prompt": "\xff"}', "not UTF-8 at byte 12 of the line"),
    ],
)
def test_what_is_no_record_is_rejected(line, sentence):
    rejected = parsed(line, "score")
    assert isinstance(rejected, Rejected)
    assert sentence in rejected.error
    text = line.decode("utf-8", "replace")
    assert rejected.rows() == [{"id": "a.jsonl:3", "error": rejected.error, "input": text}]


def test_the_name_tells_json_from_text():
    assert all(is_json(name) for name in ("a.jsonl", "a.jsonl.gz", "b/a.json", "a.ndjson", "A.JSONL.GZ"))
    assert not any(is_json(name) for name in ("a.txt", "a.gz", "jsonl", "a.jsonl.txt"))


def test_a_line_of_a_template_s_fields_is_its_raw_input():
    def prompt(line, fields):
        return parse(line.encode(), "a:1", 0, "generate", as_json=True, fields=fields)

    assert prompt('{"source": "naïve", "id": 1}', ["source"]).prompt == "naïve"
    assert prompt('{"prompt": "a", "source": "b"}', ["source"]).prompt == "a"
    several = '{"context": "c", "question": "naïve"}'
    assert prompt(several, ["context", "question"]).prompt == several
    assert 'no "question" that is a string' in prompt('{"context": "c"}', ["context", "question"]).error
    assert 'no "prompt" that is a string' in prompt(several, []).error
