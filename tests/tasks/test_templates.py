import json

import pytest

from kerasgpt.artifacts import TASK
from kerasgpt.errors import KerasGPTError, UsageError
from kerasgpt.tasks.templates import DEFAULTS, DoesNotFitError, TaskTemplate, read_template
from kerasgpt.tokenizer.bpe import Tokenizer

BYTES = Tokenizer.learn(["a"], 257)  # an id a byte
ANSWERING = DEFAULTS["question_answering"]


def test_a_folder_keeps_its_template(tmp_path):
    assert read_template(tmp_path) is None
    template = TaskTemplate("translation", "{{en}} {source} -> {{de}}", "source", max_new_tokens=9)
    template.write(tmp_path)
    assert read_template(tmp_path) == template
    assert template.text({"source": "{x}"}) == "{en} {x} -> {de}"  # what is put in is not read again


@pytest.mark.parametrize(
    "content",
    [
        '{"task": "translation"}',
        '{"task": "x", "prompt": "", "long_field": ""}',
        '{"task": "translation", "prompt": "{source}", "long_field": "source", "max_new_tokens": "x"}',
    ],
)
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / TASK).write_text(content)
    with pytest.raises(KerasGPTError, match=r"task.json: damaged"):
        read_template(tmp_path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"task": "translating"}, "unknown task 'translating': did you mean 'translation'"),
        ({"prompt": "{sources}"}, "unknown field in the template of translation 'sources': did you mean"),
        ({"prompt": "Translate:"}, "must have {source} in it"),
        ({"prompt": "{source} }"}, "Single '}'"),
        ({"prompt": "{source!r}"}, "write {source} without what follows ! or :"),
        ({"prompt": "{source:>10}"}, "write {source} without what follows ! or :"),
        ({"answer": "{answer!s}"}, "write {answer} without what follows ! or :"),
        ({"answer": "x"}, "must have {answer} in it, once"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(settings, sentence):
    given = {"task": "translation", "prompt": "{source}", "long_field": "source", **settings}
    with pytest.raises(UsageError, match=sentence.replace("{", r"\{").replace("}", r"\}")):
        TaskTemplate(**given)


def test_a_context_is_shortened_and_a_question_never():
    fields = {"context": "It was cold. The cat slept. Nobody came.", "question": "Who slept?"}
    whole = ANSWERING.text(fields)
    assert ANSWERING.fitting(fields, BYTES, len(whole)) == (whole, False)
    for most in range(len(whole) - len(fields["context"]), len(whole)):
        text, was_shortened = ANSWERING.fitting(fields, BYTES, most)
        assert was_shortened
        assert len(text) <= most
        assert text.endswith("\nQuestion: Who slept?\nAnswer:")
    text, _ = ANSWERING.fitting(fields, BYTES, len(whole) - 1)
    assert text.startswith("It was cold. The cat slept.\n")
    with pytest.raises(
        DoesNotFitError, match="data, line 3: without any context the prompt still has more than"
    ):
        ANSWERING.fitting(fields, BYTES, len(whole) - len(fields["context"]) - 1, "data, line 3")


def test_raw_input_is_the_one_field_or_an_object_of_several():
    assert DEFAULTS["translation"].parse('{"a"') == {"source": '{"a"'}
    fields = {"context": "c", "question": "q"}
    assert ANSWERING.parse(json.dumps({**fields, "id": 1})) == fields
    for text in ("why?", "[1]", '{"question": "q"}', "[" * 100_000, "1" * 5000):
        with pytest.raises(UsageError, match='is an object {"context": "...", "question": "..."}'):
            ANSWERING.parse(text)
    with pytest.raises(UsageError, match="there is no question"):
        ANSWERING.text({"context": "c"})
