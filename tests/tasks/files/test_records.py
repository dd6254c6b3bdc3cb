import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.files.records import TaskRecord


@pytest.mark.parametrize(("answers", "sentence"), [((), "has no answer"), (("a", " "), "an empty answer")])
def test_a_record_without_a_right_answer_is_refused_by_its_place(answers, sentence):
    with pytest.raises(KerasGPTError, match=f"file.jsonl, line 7: has {sentence.removeprefix('has ')}"):
        TaskRecord({"prompt": "a"}, answers, "file.jsonl, line 7", group="a")
