"""`kerasgpt evaluate`: figures of a model on a text."""

import json

import pytest

from kerasgpt import load
from kerasgpt.engines import ENGINES
from kerasgpt.tasks import language_modeling


@pytest.fixture
def text(tmp_path, shakespeare):
    (tmp_path / "text.txt").write_text(shakespeare[1000:1600] + "naïve 北京\r\n", newline="")
    return tmp_path / "text.txt"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_json_form(run, bundle, text, tmp_path, engine):
    file = tmp_path / "result.json"
    outcome = run("evaluate", bundle, "--data", text, "--engine", engine, "--json", file)
    assert (outcome.code, outcome.err) == (0, "")
    (content,) = outcome.rows
    assert json.loads(file.read_text()) == content
    metrics = content.pop("metrics")
    assert content == {
        "task": "language_modeling",
        "model": str(bundle),
        "engine": engine,
        "precision": "fp32",
        "num_examples": 1,
        "intervals": {},
    }
    expected = language_modeling.evaluate(load(bundle, "keras"), text.read_bytes().decode())
    assert metrics == pytest.approx(expected, rel=1e-5)
    assert metrics["num_bytes"] == text.stat().st_size


def test_the_engine_that_was_chosen_is_named(run, bundle, model_folder, text):
    assert run("evaluate", bundle, "--data", text).rows[0]["engine"] == "onnx"
    assert run("evaluate", model_folder, "--data", text).rows[0]["engine"] == "keras"


def test_an_unknown_task_and_engine(refuses, bundle, text):
    arguments = ("evaluate", bundle, "--data", text)
    sentence = refuses(*arguments, "--task", "language_modelling", code=2)
    assert "unknown task 'language_modelling': did you mean 'language_modeling'?" in sentence
    assert "did you mean 'onnx'" in refuses(*arguments, "--engine", "onx", code=2)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot read (No such file or directory)"),
        (b"", "is empty"),
        (b"abc\xff", "not UTF-8 at byte 3"),
    ],
)
def test_bad_data_is_named_and_nothing_written(refuses, bundle, tmp_path, content, sentence):
    data, file = tmp_path / "bad.txt", tmp_path / "result.json"
    if content is not None:
        data.write_bytes(content)
    stderr = refuses("evaluate", bundle, "--data", data, "--json", file, code=1)
    assert str(data) in stderr
    assert sentence in stderr
    assert not file.exists()


def test_a_folder_is_no_text(refuses, bundle, tmp_path):
    assert "Is a directory" in refuses("evaluate", bundle, "--data", tmp_path, code=1)
