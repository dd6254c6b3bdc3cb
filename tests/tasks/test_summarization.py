import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks import summarization
from kerasgpt.tasks.files.records import TaskRecord


@pytest.mark.parametrize(
    ("line", "text", "answers"),
    [
        ('{"text": "A b. C.", "summary": "s"}', "A b. C.", ("s",)),
        ('{"source": ["A b.", "C."], "target": ["s", "t"], "title": "x"}', "A b. C.", ("s", "t")),
        ('{"id": "7", "body": "A b.\\nC.", "subject": "s", "refs": ["r"]}', "A b.\nC.", ("s",)),
    ],
)
def test_ours_scitldrs_and_aeslcs_forms_are_read(tmp_path, line, text, answers):
    (tmp_path / "a.jsonl").write_text(line + "\n")
    (record,) = summarization.read([str(tmp_path / "a.jsonl")])
    assert (record.fields["text"], record.answers) == (text, answers)


@pytest.mark.parametrize("text", ["Bring it. Now!", "Bring it.\nNow!", "\nBring it.\n"])
def test_the_lead_is_the_first_sentence_or_line(text):
    assert summarization.lead(TaskRecord({"text": text}, ("s",), "", "")) == "Bring it."


def test_a_line_in_no_form_is_told(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a", "summary": "b"}\n{"body": "a"}\n{"x": 1}\n')
    with pytest.raises(KerasGPTError, match=r'line 2: has no text "subject"'):
        list(summarization.read([str(tmp_path / "a.jsonl")]))
