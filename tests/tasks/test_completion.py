import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks import completion


def test_prompts_have_one_answer_or_several(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"prompt": "1 + 1 =", "answer": "2"}\n{"prompt": "x", "answer": ["y", "z"]}\n'
    )
    records = list(completion.read([str(tmp_path / "a.jsonl")]))
    assert [record.answers for record in records] == [("2",), ("y", "z")]
    assert records[0].fields == {"prompt": "1 + 1 ="}


def test_a_missing_answer_is_told_with_its_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "answer": "b"}\n{"prompt": "a", "anser": "b"}\n')
    with pytest.raises(KerasGPTError, match=r'a.jsonl, line 2: has no text "answer", only prompt, anser'):
        list(completion.read([str(tmp_path / "a.jsonl")]))
