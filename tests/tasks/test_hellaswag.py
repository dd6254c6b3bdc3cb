import json

import pytest

from kerasgpt.errors import KerasGPTError
from kerasgpt.tasks.hellaswag import HellaSwag

RAW = {
    "activity_label": "Sewing",
    "ctx_a": "[header] How to sew [title] Thread a needle.",
    "ctx_b": "the MAN",
    "endings": ["sews [step] on.", "[substeps] stops."],
    "label": "1",
}


def read(tmp_path, value: dict, byte_model):
    path = tmp_path / "hellaswag.jsonl"
    path.write_text(json.dumps(value))
    return HellaSwag().read([path], byte_model())


def test_the_data_sets_own_lines_are_cleaned(tmp_path, byte_model) -> None:
    (found,) = read(tmp_path, RAW, byte_model)
    assert found.prompt == "Sewing: How to sew. Thread a needle. The man"
    assert found.choices == ("sews on.", " stops.")
    assert found.gold == 1


def test_lines_that_are_ready_are_left_alone(tmp_path, byte_model) -> None:
    value = {"ind": 3, "query": "A [b]  c", "choices": ["x [y]", "z", "u", "v"], "gold": 3}
    (found,) = read(tmp_path, value, byte_model)
    assert (found.prompt, found.choices, found.gold) == ("A [b]  c", ("x [y]", "z", "u", "v"), 3)


def test_an_empty_second_context_is_none(tmp_path, byte_model) -> None:
    (found,) = read(tmp_path, {**RAW, "ctx_b": ""}, byte_model)
    assert found.prompt.endswith("Thread a needle.")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ctx_a": None}, '"ctx_a"'),
        ({"label": "2"}, "right answer"),
        ({"label": "9" * 5000}, "right answer"),
        ({"endings": ["a", 1]}, "choices"),
        ({"endings": None}, '"endings" must be a list of texts'),
        ({"endings": 5}, '"endings" must be a list of texts'),
    ],
)
def test_bad_lines_are_named(tmp_path, byte_model, change: dict, sentence: str) -> None:
    with pytest.raises(KerasGPTError, match="line 1") as caught:
        read(tmp_path, {**RAW, **change}, byte_model)
    assert sentence in str(caught.value)
